"""One night: decide, work, tell. What a killed night has finished is not done again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from imagekit import __version__, files, own_files, promote, retention, scratch
from imagekit.cells import document, expand, judged
from imagekit.cells.document import Night as Settings
from imagekit.cells.document import Pipeline
from imagekit.cells.judged import Judged
from imagekit.errors import Error, UsageError
from imagekit.locking import Say
from imagekit.nightly import decide, notify, page, runners, scanned, state
from imagekit.nightly.before import place_of
from imagekit.nightly.decide import Decision
from imagekit.nightly.reasons import PROOF, Reason
from imagekit.nightly.state import Cell, Night, State
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
    _check(pipeline.nightly, cells, site, ask=not call.promote_only)
    if call.promote_only:
        decisions, unknown = decide.as_they_are(cells, site), tuple[str, ...]()
    else:
        decisions, unknown = decide.decide(cells, pipeline.nightly, site, now)
    return decisions, [cell for cell in cells if not cell.tag], unknown


def run(call: Call, site: Site, say: Say) -> Night:
    """Raises UsageError for a pipeline or a site that cannot be used, Surroundings where another night is at it."""
    pipeline = document.read(call.file)
    cells = _cells(call, pipeline, site)
    _check(pipeline.nightly, cells, site, ask=not call.promote_only)
    with state.held(call.folder or state.usual(call.file), call.wait, say) as own:
        where = hashlib.sha256(site.settings.model_dump_json().encode()).hexdigest()[:12]
        inputs = {cell.tag: _inputs(cell) for cell in cells if cell.tag}
        asked = " ".join([files.sha256(call.file), where, *call.only, *(["promote"] if call.promote_only else [])])
        night = own.begin(asked, __version__, datetime.now(timezone.utc))
        done = {cell.tag: cell for cell in night.cells if cell.inputs == inputs.get(cell.tag)}
        if night.cells:
            say("resume", f"night {night.number}, of {night.started}: {len(done)} of {len(cells)} were done")
        left = [cell for cell in cells if cell.tag not in done]
        decisions, unknown = (
            (decide.as_they_are(left, site), ())
            if call.promote_only
            else decide.decide(left, pipeline.nightly, site, datetime.now(timezone.utc))
        )
        for line in unknown:
            say("unknown", line)
        before = own.nights()
        decisions = [_measured_again(one, pipeline.nightly, own) for one in decisions]
        room = Room(
            pipeline.nightly, site, call.site_file, own, night, say, before[::-1], ask=not call.promote_only,
            inputs=inputs,
        )  # fmt: skip
        done |= {cell.tag: cell for cell in work(decisions, room, lambda: _free(site))}
        told = [done[cell.tag] if cell.tag else _impossible(cell, call.file) for cell in cells]
        ended = datetime.now(timezone.utc).isoformat(timespec="seconds")
        night = night.model_copy(update={"ended": ended, "unknown": unknown, "cells": tuple(told)})
        _tell(pipeline.nightly, before, night, site, say, part=bool(call.only))  # twice is better than never
        own.end(night)
        own.show(page.html([*before, night]))
    if not call.promote_only:
        _prune(pipeline.nightly, cells, site, say)
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


def _inputs(cell: Judged) -> str:
    """Digest of what profile, overlays and wishes come to, and of their files; empty where those cannot be read."""
    if cell.profile is None or cell.resolution is None:
        return ""
    # what is told to people makes no image; what an image below is by now is looked at whatever was done
    base = cell.resolution.base.model_copy(update={"digest": "", "found": None})
    made = cell.resolution.model_copy(update={"base": base}).model_dump(mode="json", exclude={"reasons", "notes"})
    try:
        own = own_files.of(cell.profile)
    except Error:  # told when it is decided
        return ""
    rows = [[place, file.mode, hashlib.sha256(file.content).hexdigest()] for place, file in sorted(own.items())]
    return hashlib.sha256(json.dumps([made, rows], sort_keys=True).encode()).hexdigest()


def _measured_again(one: Decision, settings: Settings, own: State) -> Decision:
    """Whoever removes a baseline says that the figures of now are the ones to keep."""
    said = one.before.verdict if one.before else None
    baseline = own.baseline(one.cell.tag)
    if settings.bench and said and said.slower and not one.reasons and not one.error and not baseline.is_file():
        return replace(one, reasons=(Reason(PROOF, "its baseline was removed"),))
    return one


def _check(settings: Settings, cells: list[Judged], site: Site, *, ask: bool) -> None:
    """Everything that can be known to go wrong before hours of work. Raises UsageError with all of it."""
    problems = []
    for cell in [cell for cell in cells if cell.tag][:1]:
        place_of(cell.tag, site)
        for to in settings.promote:
            try:
                promote.destination(to, cell.tag.rpartition(":")[0], site)
            except UsageError as error:
                problems.append(f"nightly.promote: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    if settings.notify and (problem := notify.trouble(settings.notify)):
        problems.append(f"nightly.notify: {problem}")
    if settings.scan and (problem := scanned.trouble(site)):
        problems.append(f"nightly.scan: {problem}")
    if ask:
        problems += [f"nightly.runners: {problem}" for problem in runners.trouble(settings.runners, site)]
    if problems:
        raise UsageError("the night could not come to its end", details=problems)


def _impossible(cell: Judged, file: Path) -> Cell:
    """Called as it is from the folder of the pipeline: the record has no paths of this machine."""
    name = cell.name if file.parent == Path() else cell.name.replace(f"{file.parent}/", "")
    return Cell(tag=name, state="impossible", why=cell.why_not)


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


def _tell(settings: Settings, before: list[Night], night: Night, site: Site, say: Say, *, part: bool) -> None:
    """`part`: only some of the images were asked for: of the others nothing is known."""
    rows = notify.changes(before, night, part)
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
