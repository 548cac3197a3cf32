"""Constraints from the facts, applied to versions that are known: what to add, what to hold, what to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from imagekit.compat.facts import load
from imagekit.compat.rows import FACT_KEYS, Constraint
from imagekit.family import FAMILY

if TYPE_CHECKING:
    from imagekit.resolution import Resolution, Want


@dataclass(frozen=True)
class Need:
    requirement: str
    """PEP 508."""
    why: str
    """The row that asks for it."""

    def want(self) -> Want:
        """As it is given to the package resolver."""
        from imagekit.resolution import Want  # pydantic, which those who only ask do not need

        return Want(requirement=self.requirement, why=self.why)


@dataclass
class Review:
    wants: list[Need] = field(default_factory=list)
    """Requirements that the facts add."""
    holds: list[Need] = field(default_factory=list)
    """Ranges that the facts hold a package to."""
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def review(
    rows: Iterable[Constraint], versions: Mapping[str, str], about: Mapping[str, str], apt: tuple[str, ...],
    fixed: tuple[str, ...],
) -> Review:  # fmt: skip
    """`versions`: normalised name -> chosen version; `about`: python, cuda, glibc, ffmpeg; `fixed`: names whose version
    cannot move any more, so that a range that excludes it refuses the package that asks for the range."""
    result = Review()
    for row in rows:
        if not _applies(row, versions, about):
            continue
        unmet = [need for need in row.needs if not _met(need, versions)]
        missing = [name for name in row.needs_apt if name not in apt]
        if row.effect == "warn":
            if unmet or missing or not (row.needs or row.needs_apt):
                result.warnings.append(f"{row.reason} [{row.id}]")
        elif row.effect == "refuse" and not row.needs:
            result.refused.append(f"{row.reason} [{row.id}]")
        else:
            _require(row, versions, fixed, unmet, result)
    return result


def _require(
    row: Constraint, versions: Mapping[str, str], fixed: tuple[str, ...], unmet: list[str], result: Review
) -> None:
    for need in row.needs:
        name = canonicalize_name(Requirement(need).name)
        want = Need(need, f"fact {row.id}")
        if need in unmet and name in fixed:
            result.refused.append(f"{row.reason} [{row.id}]")
        elif row.effect == "add" and name not in fixed:
            result.wants.append(want)
        elif name not in fixed:
            result.holds.append(want)


def _applies(row: Constraint, versions: Mapping[str, str], about: Mapping[str, str]) -> bool:
    version = versions.get(canonicalize_name(row.package))
    if version is None or not _in(version, row.versions):
        return False
    for key, span in row.when.items():
        known = about.get(key) if key in FACT_KEYS else versions.get(canonicalize_name(key))
        if known is None or not _in(known, span):
            return False
    return True


def _met(need: str, versions: Mapping[str, str]) -> bool:
    requirement = Requirement(need)
    version = versions.get(canonicalize_name(requirement.name))
    return version is not None and _in(version, str(requirement.specifier))


def _in(version: str, span: str) -> bool:
    return SpecifierSet(span).contains(Version(version), prereleases=True)


def again(resolution: Resolution, versions: Mapping[str, str]) -> Review:
    """The facts' view of a whole set of locked versions: hidden requirements of packages that uv chose.

    Names that are replaced count as present (a stand-in carries their version).
    """
    facts = load()
    system = facts.suite(resolution.os.split()[0].lower() + resolution.os.split()[1])
    assert system is not None
    about = {
        "python": resolution.python,
        "cuda": resolution.cuda,
        "glibc": resolution.glibc,
        "ffmpeg": system.ffmpeg or "0",
    }
    return review(facts.constraints, versions, about, resolution.apt, (*FAMILY, "triton"))
