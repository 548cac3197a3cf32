"""Cells with what they come to: versions and tags, or the reason why there is no such image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagekit import pipeline, profile, tag
from imagekit.cells.document import Cell
from imagekit.cells.expand import arguments
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.profile import Profile
from imagekit.resolution import Resolution
from imagekit.site import Site


@dataclass(frozen=True)
class Judged:
    cell: Cell
    profile: Profile | None = None
    resolution: Resolution | None = None
    tag: str = ""
    """The profile tag; empty where there is no such image."""
    why_not: tuple[str, ...] = ()
    """Lines: what cannot be had, with the facts, and what can."""

    @property
    def name(self) -> str:
        """What people call it: the command that builds it."""
        return " ".join(arguments(self.cell))


def judge(cells: Sequence[Cell], site: Site) -> list[Judged]:
    """Raises UsageError for a cell that cannot be read, and for two that would be one image."""
    found, problems = list[Judged](), list[tuple[Cell, UsageError]]()
    for cell in cells:
        try:
            found.append(_judged(cell, site))
        except UsageError as error:
            problems.append((cell, error))
    if len(problems) == 1:
        raise problems[0][1]
    if problems:
        lines = [f"{cell.profile}: {line}" for cell, error in problems for line in (error.message, *error.details)]
        raise UsageError("cells of the matrix cannot be read", details=dict.fromkeys(lines), hint=problems[0][1].hint)
    by_tag: dict[str, list[str]] = {}
    for one in found:
        if one.tag:
            by_tag.setdefault(one.tag, []).append(one.name)
    twice = [f"{tag}: {'; '.join(names)}" for tag, names in by_tag.items() if len(names) > 1]
    if twice:
        raise UsageError(
            "cells of the matrix would be one image",
            details=twice,
            hint="exclude one of them, or give it another torch",
        )
    return found


def resolved(cell: Cell, site: Site, *, upgrade: bool = False) -> tuple[Profile, Resolution]:
    """As pipeline.resolved."""
    wishes = profile.wish(
        torch=cell.torch, cuda=cell.cuda, python=cell.python, base=cell.base, packages=cell.packages,
        features=cell.feature, overlays=cell.overlay,
    )  # fmt: skip
    return pipeline.resolved(cell.profile, wishes, site, lambda *_: None, upgrade=upgrade)


def _judged(cell: Cell, site: Site) -> Judged:
    try:
        its_profile, resolution = resolved(cell, site)
    except ImpossibleWish as error:
        return Judged(cell, why_not=(error.message, *error.details))
    return Judged(cell, its_profile, resolution, tag.of_profile(resolution, site.settings.tags))
