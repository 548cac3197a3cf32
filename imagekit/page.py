"""One self-contained HTML page for reports of tests, of benchmarks and of nights: facts, tables, bars; no script, no
network, nothing that is not in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    links: tuple[tuple[str, str], ...] = ()
    """(label, path beside the page), folded away with it."""


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    summary: str = ""
    """What is in it in a few words, beside the title and in the contents."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Column -> outcome (a word that is seen at once) | number (to the right) | text (takes the room that is left)"""

    @property
    def bad(self) -> list[tuple[int, str]]:
        """Number and first cell of each bad row."""
        return [(number, row.cells[0]) for number, row in enumerate(self.rows, 1) if row.mood == "bad"]


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
    """bad (hatched) | dim (hollow: what the bar above is compared with), or nothing"""
    change: str = ""
    """Against what it is compared with: 12% worse."""


@dataclass(frozen=True)
class Chart:
    """Bars of one unit on one scale from 0."""

    title: str
    """Empty for one that continues the section above it."""
    bars: tuple[Bar, ...]
    note: str = ""
    summary: str = ""
    unit: str = ""
    """What the bars show, and which end is good."""
    full: float = 0
    """Where the scale ends at least: 100 for a percentage."""

    @property
    def scale(self) -> float:
        return max((end for bar in self.bars for end in (bar.value, bar.high or 0, self.full)), default=0) or 1

    @property
    def changes(self) -> bool:
        return any(bar.change for bar in self.bars)

    @property
    def bad(self) -> list[tuple[int, str]]:
        return [(number, bar.label) for number, bar in enumerate(self.bars, 1) if bar.mood == "bad"]


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
    environment.filters["zip"] = lambda one, other: zip(one, other, strict=True)
    environment.tests["chart"] = lambda section: isinstance(section, Chart)
    return environment.get_template("page.html.j2")
