"""One self-contained HTML page for reports of tests, of benchmarks and of nights: facts, tables, bars; no script, no
network, nothing that is not in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import jinja2

from imagekit import __version__, resources


@dataclass(frozen=True)
class Row:
    cells: tuple[str, ...]
    mood: str = ""
    """good | bad | dim, or nothing"""
    more: tuple[tuple[str, str], ...] = ()
    """(label, text), folded away until somebody asks."""


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str
    """The value as people read it, with its unit."""
    low: float | None = None
    high: float | None = None
    """Ends of the spread, drawn as a whisker."""
    mood: str = ""
    """good | bad | dim (what it is compared with), or nothing"""


@dataclass(frozen=True)
class Chart:
    """Bars of one unit, longest value first to last on one scale from 0."""

    title: str
    bars: tuple[Bar, ...]
    note: str = ""

    @property
    def scale(self) -> float:
        return max((bar.high or bar.value for bar in self.bars), default=0) or 1


@dataclass(frozen=True)
class Page:
    title: str
    verdict: str
    mood: str
    """good | bad | dim"""
    facts: tuple[tuple[str, str], ...] = ()
    sections: Sequence[Table | Chart] = field(default=())


def html(page: Page) -> str:
    return _template().render(page=page, version=__version__)


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(resources.templates())
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["chart"] = lambda section: isinstance(section, Chart)
    return environment.get_template("page.html.j2")
