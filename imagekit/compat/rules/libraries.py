"""What libraries need of torch, Python, numpy and each other, also where their own metadata does not say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

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
            yield Finding(NAME, "no", row.reason, row.id, _tip(row, stack.facts.constraints, versions, about))
        elif view.warnings:
            yield Finding(NAME, "note", row.reason, row.id)
        elif view.wants:
            yield Finding(
                NAME, "note", f"{row.reason} It needs {' and '.join(w.requirement for w in view.wants)}.", row.id
            )


def _tip(
    row: Constraint, rows: Iterable[Constraint], versions: Mapping[str, str], about: Mapping[str, str]
) -> str:  # fmt: skip
    """What else to ask: what the row needs, unless that is another torch, which is asked for by itself; or the first
    version that the row is not about, where no other row refuses that."""
    needs = [need for need in row.needs if canonicalize_name(Requirement(need).name) not in FAMILY]
    if needs and len(needs) == len(row.needs):
        return " and ".join(needs)
    bounds = [bound for bound in SpecifierSet(row.versions) if bound.operator == "<"]
    for bound in bounds:
        others = {**versions, row.package: bound.version}
        if not review(rows, others, about, (), tuple(others)).refused:
            return f"{row.package}>={bound.version}"
    return f"another {row.package}"


RULE = Rule(NAME, "Libraries go with this torch, Python and numpy, and with each other.", judge)
