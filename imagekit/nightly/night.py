"""One night: decide, work, tell. What a killed night has finished is not done again."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from imagekit import __version__, files, retention, scratch
from imagekit.cells import document, expand, judged
from imagekit.cells.document import Night as Settings
from imagekit.cells.document import Pipeline
from imagekit.cells.judged import Judged
from imagekit.errors import Error, UsageError
from imagekit.locking import Say
from imagekit.nightly import decide, notify, page, state
from imagekit.nightly.before import place_of
from imagekit.nightly.decide import Decision
from imagekit.nightly.state import Cell, Night
from imagekit.nightly.work import Room, work
from imagekit.site import Site


@dataclass(frozen=True)
class Call:
    """What the command line asks for."""

    file: Path
    site_file: str = ""
    folder: Path | None = None
    """Of the state; None for the usual one."""
    wait: bool = False
    only: tuple[str, ...] = ()
    """Tags of images, as 2.4.1-cuda12.1-vision; all where none is named."""
    promote_only: bool = False
    """Nothing is made: what is proven by now goes where it may."""


def plan(call: Call, site: Site, now: datetime) -> tuple[list[Decision], list[Judged], tuple[str, ...]]:
    """(what would be done, cells that cannot be had, what could not be asked); nothing is done.

    Raises UsageError.
    """
    pipeline = document.read(call.file)
    cells = _cells(call, pipeline, site)
    decisions, unknown = decide.decide(cells, pipeline.nightly, site, now)
    return decisions, [cell for cell in cells if not cell.tag], unknown


def run(call: Call, site: Site, say: Say) -> Night:
    """Raises UsageError for a pipeline or a site that cannot be used, Surroundings where another night is at it."""
    pipeline = document.read(call.file)
    cells = _cells(call, pipeline, site)
    for cell in cells:
        if cell.tag:
            place_of(cell.tag, site)
    with state.held(call.folder or state.usual(call.file), call.wait, say) as own:
        asked = " ".join([files.sha256(call.file), *call.only, *(["promote"] if call.promote_only else [])])
        night = own.begin(asked, __version__, datetime.now(timezone.utc))
        if night.cells:
            say("resume", f"night {night.number}, of {night.started}: {len(night.cells)} of {len(cells)} were done")
        done = {cell.tag: cell for cell in night.cells}
        left = [cell for cell in cells if cell.tag not in done]
        decisions, unknown = (
            (decide.as_they_are(left, site), ())
            if call.promote_only
            else decide.decide(left, pipeline.nightly, site, datetime.now(timezone.utc))
        )
        for line in unknown:
            say("unknown", line)
        room = Room(pipeline.nightly, site, call.site_file, own, night, say)
        done |= {cell.tag: cell for cell in work(decisions, room, lambda: _free(site))}
        told = [done[cell.tag] if cell.tag else _impossible(cell) for cell in cells]
        ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
        night = night.model_copy(update={"ended": ended, "unknown": unknown, "cells": tuple(told)})
        before = own.nights()
        own.end(night)
        files.write(own.page, page.html([*before, night]).encode())
    _prune(pipeline.nightly, cells, site, say)
    _tell(pipeline.nightly, before[-1] if before else None, night, site, say)
    return night


def _cells(call: Call, pipeline: Pipeline, site: Site) -> list[Judged]:
    """Raises UsageError for one that is named and not there."""
    found = judged.judge(expand.cells(pipeline), site)
    names = [cell.tag.rpartition(":")[2] for cell in found if cell.tag]
    unknown = [name for name in call.only if name not in names]
    if unknown:
        raise UsageError(
            f"{call.file.name} has no image {', '.join(unknown)}", details=names, hint="imagekit matrix shows them"
        )
    return [cell for cell in found if not call.only or cell.tag.rpartition(":")[2] in call.only]


def _impossible(cell: Judged) -> Cell:
    return Cell(tag=cell.name, state="impossible", why=cell.why_not)


def _free(site: Site) -> int:
    """Bytes that builds may take together."""
    scratch.cache().mkdir(parents=True, exist_ok=True)
    free, limit = shutil.disk_usage(scratch.cache()).free, site.settings.build.disk_gb * 10**9
    return min(free, limit) if limit else free


def _prune(settings: Settings, cells: list[Judged], site: Site, say: Say) -> None:
    """Old images go when all is made: what is wrong with that is said, and is no failure of an image."""
    if settings.keep is None:
        return
    for name in dict.fromkeys(place_of(cell.tag, site).place for cell in cells if cell.tag):
        try:
            place, old = retention.prune(name, settings.keep, site, dry=False)
        except Error as error:
            say("prune", f"{name}: {error.message}")
            continue
        if old:
            say("prune", f"{place}: {len(old)} old images removed")


def _tell(settings: Settings, last: Night | None, night: Night, site: Site, say: Say) -> None:
    rows = notify.changes(last, night)
    if settings.notify and rows:
        problem = notify.send(settings.notify, night, rows, site)
        say("notify", problem or f"{len(rows)} changes told")


def summary(night: Night) -> str:
    """3 built, 1 proven again, 2 as they were, 1 bad, 1 cannot be had"""
    count = Counter(cell.did if cell.state == "good" else cell.state for cell in night.cells)
    words = {
        "built": "built", "proven": "proven again", "nothing": "as they were", "bad": "bad",
        "impossible": "cannot be had",
    }  # fmt: skip
    return ", ".join(f"{count[kind]} {word}" for kind, word in words.items() if count[kind]) or "no cells"
