"""What libraries need of torch, Python, numpy and each other, also where their own metadata does not say it."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from imagekit.compat.review import review
from imagekit.compat.rows import Constraint
from imagekit.family import FAMILY

from .rule import Finding, Rule, Stack

NAME = "libraries"


def judge(stack: Stack) -> Iterator[Finding]:
    release, variant, system = stack.choice.release, stack.choice.variant, stack.choice.system
    versions = {**stack.versions, "torch": release.version}
    about = {"python": system.python, "cuda": variant.cuda, "glibc": system.glibc, "ffmpeg": system.ffmpeg or "0"}
    for row in stack.facts.constraints:
        if row.package not in versions or (row.needs_apt and not row.needs):
            continue  # which distribution packages there are was not said
        view = review((row,), versions, about, (), tuple(versions))
        if view.refused:
            yield Finding(NAME, "no", row.reason, row.id, _tip(row))
        elif view.warnings:
            yield Finding(NAME, "note", row.reason, row.id)
        elif view.wants:
            yield Finding(
                NAME, "note", f"{row.reason} It needs {' and '.join(w.requirement for w in view.wants)}.", row.id
            )


def _tip(row: Constraint) -> str:
    """What else to ask: what the row needs, unless that is another torch, which is asked for by itself."""
    needs = [need for need in row.needs if canonicalize_name(Requirement(need).name) not in FAMILY]
    if needs and len(needs) == len(row.needs):
        return " and ".join(needs)
    outside = " or ".join(_OPPOSITE[s.operator] + s.version for s in _ascending(row) if s.operator in _OPPOSITE)
    return f"{row.package}{outside}" if outside else f"another {row.package}"


_OPPOSITE = {"<": ">=", "<=": ">", ">=": "<", ">": "<="}


def _ascending(row: Constraint) -> list[Specifier]:
    """The bounds of the versions that a row is about: what lies outside of them is left alone."""
    return sorted(SpecifierSet(row.versions), key=lambda specifier: Version(specifier.version.removesuffix(".*")))


RULE = Rule(NAME, "Libraries go with this torch, Python and numpy, and with each other.", judge)
