"""A decision -> what came of it, by calls of `imagekit build` and its like, each a process of its own.

Whatever is broken off here is done again by the next night: an image gets its names as the last thing, and where it is
promoted to is looked at every night, not only when it was built.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imagekit import amounts, locking, pipeline, publish, record, remote, several
from imagekit import report as reports
from imagekit.cells.document import Night as Settings
from imagekit.cells.expand import arguments
from imagekit.errors import Error, NotProven, Surroundings
from imagekit.lock.model import write as write_lock
from imagekit.locking import Say
from imagekit.nightly import engine, places, runners, scanned, verdict
from imagekit.nightly.before import Before, before
from imagekit.nightly.before import reports as reports_of
from imagekit.nightly.decide import BUILD, NOTHING, Decision
from imagekit.nightly.runners import Waiting, Word
from imagekit.nightly.state import Cell, Night, State, kept
from imagekit.nightly.verdict import Verdict
from imagekit.proof import attached, evidence
from imagekit.report import failing
from imagekit.site import Site

TOLD = 30
"""Lines of an error that are put on record; the log has all."""


@dataclass(frozen=True)
class Room:
    """What every step needs."""

    settings: Settings
    site: Site
    site_file: str
    """As the command line names it; empty for the usual one."""
    state: State
    night: Night
    say: Say
    known: Sequence[Night] = ()
    """Nights before, the newest first."""
    ask: bool = True
    """Whether runners are asked for what they have not proven yet."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Tag -> digest of what its image is made from."""

    def log(self, tag: str) -> Path:
        return self.state.logs(self.night) / f"{tag.rpartition(':')[2]}.log"


def work(decisions: Sequence[Decision], room: Room, free_disk: Callable[[], int | None]) -> list[Cell]:
    """All of them, side by side; what came of each, as it is on record then. Raises Interrupted, Surroundings."""
    done = dict[str, Cell]()
    began = dict[str, float]()
    waiting = list[Waiting]()
    built = list[tuple[Cell, Before]]()

    def finished(cell: Cell) -> None:
        cell = cell.model_copy(update={"inputs": room.inputs.get(cell.tag, "")})
        done[cell.tag] = cell
        room.state.note(cell)
        _say(cell, room.say)

    def good(cell: Cell, now: Before | None) -> None:
        """`now`: what the registry has of it; None where nothing follows."""
        asked = runners.asked(now, room.settings, datetime.now(timezone.utc)) if now and room.ask else ()
        if now and asked:
            waiting.append(Waiting(cell, now, asked))
        else:
            finished(_promoted(cell, now, room) if now else cell)

    def ended(out: several.Outcome) -> None:
        cell, now = _ended(busy[out.name], out, time.monotonic() - began[out.name], room)
        if now and room.settings.bench:
            built.append((cell, now))
        else:
            good(*_by_engine(cell, now, room) if now and room.settings.engine else (cell, now))

    busy = {one.cell.tag: one for one in decisions if one.action != NOTHING and not one.error}
    for one in decisions:
        if one.error:
            lines = [one.error.message, *one.error.details, *([f"hint: {one.error.hint}"] if one.error.hint else [])]
            known = one.before.reference if one.before else ""
            finished(_bad(Cell(tag=one.cell.tag, state="bad", reference=known), lines, one.error.exit_code))
        elif one.action == NOTHING:
            good(*_as_it_is(one, room))
    for one in busy.values():
        with kept("a log of the night"):
            room.log(one.cell.tag).write_bytes(b"")
        if one.action == BUILD and one.lock:
            with kept("a lock"):
                write_lock(one.lock, locking.own_path(one.lock.resolution))

    def begins(tag: str) -> None:
        began[tag] = time.monotonic()
        room.say(busy[tag].action, f"{tag}  {'; '.join(map(str, busy[tag].reasons))}")

    several.run(
        [_job(one, room) for one in busy.values()],
        at_once=several.jobs_at_once(room.settings.jobs or room.site.settings.build.jobs or None),
        free_disk=free_disk, say=lambda tag, line: _log(room, tag, line), begins=begins, ended=ended,
    )  # fmt: skip
    for cell, now in built:  # one after the other, and nothing is built beside it: figures are of a quiet machine
        room.say("measure", cell.tag)
        good(*_by_engine(cell, now, room))
    words = runners.ask(waiting, room.site, room.site_file, lambda tag, name: room.say("prove", f"{tag}  on {name}"))
    for image in waiting:
        finished(_on_runners(image, words[image.cell.tag], room))
    return [done[one.cell.tag] for one in decisions]


def _say(cell: Cell, say: Say) -> None:
    where = "; ".join(f"{to}: {what}" for to, what in cell.promoted.items())
    took = f"  {amounts.clock(cell.seconds)}" if cell.seconds else ""
    say(cell.did if cell.state == "good" else "bad", f"{cell.tag}  {cell.why[0] if cell.why else where}{took}")


def _job(one: Decision, room: Room) -> several.Job:
    assert one.before and one.lock
    site = ("--site", room.site_file) if room.site_file else ()
    if one.action == BUILD:
        to = ["--output", f"registry:{one.before.place}", *(["--output", "engine"] if room.settings.engine else [])]
        call = ["build", *arguments(one.cell.cell), "--engine", "compose", *to, "--frozen", "--fresh", "--json"]
        return several.Job(one.cell.tag, (*call, *(["--newest"] if one.newest else []), *site), pipeline.disk(one.lock))
    call = ["test", f"registry:{one.before.reference}", "--fresh", "--json"]
    return several.Job(one.cell.tag, (*call, *site), pipeline.disk(one.lock))


def _log(room: Room, tag: str, line: str) -> None:
    with kept("a log of the night"), room.log(tag).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _ended(one: Decision, out: several.Outcome, seconds: float, room: Room) -> tuple[Cell, Before | None]:
    """What came of a build or a proof; and what the registry has, where it is good so far."""
    cell = Cell(
        tag=one.cell.tag, state="good", did="built" if one.action == BUILD else "proven", seconds=round(seconds, 1),
        reasons=tuple(map(str, one.reasons)), log=str(room.log(one.cell.tag).relative_to(room.state.folder)),
    )  # fmt: skip
    if out.code:
        lines = _error(room.log(one.cell.tag))
        known = one.before.reference if one.before else ""
        code = out.code if out.code > 0 else 128 - out.code  # of a signal, as a shell has it
        cell = _bad(cell.model_copy(update={"did": "nothing", "reference": known}), lines, code)
    try:
        if one.action != BUILD and one.before:
            _attach(one.before, room.site)  # also what is bad: whoever promotes it elsewhere is to know
        if out.code:
            return cell, None
        cell = _with_result(cell, one, json.loads(out.stdout))
        now = before(cell.tag, room.site)
        if now.reference != cell.reference:
            why = f"{now.place}:{now.tag} stays where it is: the registry or its rules hold the name"
            return _bad(cell, [why]), None
        if now.made is None:
            why = f"{now.place.host} keeps nothing beside an image, by which a night could decide"
            return _bad(cell, [why]), None
        return cell, now
    except Error as error:
        return _bad(cell, [error.message, *error.details], error.exit_code), None


def _on_runners(one: Waiting, words: Mapping[str, Word], room: Room) -> Cell:
    """With what was said there, and promoted where that is good."""
    log, cell = room.log(one.cell.tag), one.cell
    with kept("a log of the night"), log.open("a", encoding="utf-8") as file:
        file.writelines(f"{name}: {line}\n" for name, word in words.items() for line in word.lines)
    cell = runners.told(cell.model_copy(update={"log": str(log.relative_to(room.state.folder))}), words)
    return _promoted(cell, one.there, room) if cell.state == "good" else cell


def _bad(cell: Cell, lines: Sequence[str], code: int = Surroundings.exit_code) -> Cell:
    return cell.model_copy(update={"state": "bad", "code": code, "why": tuple(lines)})


def _with_result(cell: Cell, one: Decision, row: dict[str, Any]) -> Cell:
    """`row`: what the call printed."""
    assert one.before
    if one.action != BUILD:
        return _told(cell.model_copy(update={"reference": one.before.reference}), row)
    new = record.Record.model_validate(row["record"])
    old = one.before.made.record if one.before.made else None
    changes = tuple(record.changes(old.packages | old.system, new.packages | new.system)) if old else ()
    cell = cell.model_copy(update={"reference": str(row["reference"]), "size": int(row["size"]), "changes": changes})
    return _told(cell, row["proof"]) if row["proof"] else cell  # none where the very same image was proven before


def _told(cell: Cell, proof: dict[str, Any]) -> Cell:
    """With what its proof found."""
    report = reports.from_json(proof)
    found = {"proof": evidence.stages(report), "checks": evidence.passed(report)}
    return cell.model_copy(update={**found, "proof_seconds": round(report.seconds, 1)})


def _as_it_is(one: Decision, room: Room) -> tuple[Cell, Before | None]:
    assert one.before
    if not one.before.digest:
        return _bad(Cell(tag=one.cell.tag, state="bad"), ["there is no such image"]), None
    whole = [report for report in one.before.reports if not report.partial]
    proof = evidence.stages(whole[0]) if whole else ""
    last = next((old for night in room.known if (old := night.cell(one.cell.tag)) and old.size), None)
    size = last.size if last and last.reference == one.before.reference else 0
    cell = Cell(tag=one.cell.tag, state="good", reference=one.before.reference, proof=proof, size=size)
    bad = failing(list(one.before.reports))
    return (_bad(cell, bad, NotProven.exit_code), None) if bad else (cell, one.before)


def _by_engine(cell: Cell, now: Before, room: Room) -> tuple[Cell, Before | None]:
    """Its proof and figures there; what came of them is put beside the image, and without that it goes nowhere."""
    try:
        cell = _proven_and_measured(cell, now, room)
    except Error as error:
        cell = _bad(cell, [error.message, *error.details], error.exit_code)
    return cell, now if cell.state == "good" else None


def _proven_and_measured(cell: Cell, now: Before, room: Room) -> Cell:
    there, log = remote.repository(now.place, room.site), room.log(cell.tag)
    here = engine.Here(cell.reference, room.site, room.site_file, lambda line: _log(room, cell.tag, line))
    code = here.proven()
    _attach(now, room.site)
    if code:
        return _bad(cell, _error(log), code)
    found = Verdict()
    if room.settings.bench:
        found = here.measured(room.settings.bench, room.state.baseline(cell.tag), log.with_suffix(".bench.json"))
    verdict.attach(there, now.digest, found)
    cell = cell.model_copy(update={"figures": found.figures, "slower": found.slower})
    return cell if found.measured or not room.settings.bench else _bad(cell, _error(log))


def _promoted(cell: Cell, now: Before, room: Room) -> Cell:
    """The last step of each image that is good."""
    try:
        return _where_it_may(cell, now, room)
    except Error as error:
        return _bad(cell, [error.message, *error.details], error.exit_code)


def _where_it_may(cell: Cell, now: Before, room: Room) -> Cell:
    against = ""
    if room.settings.scan:
        cell, against = _scanned(cell, now, room)
    said = verdict.of(remote.repository(now.place, room.site), now.digest) if room.settings.engine else None
    slower = said.slower if said and room.settings.bench else ()
    held = _held(said, slower, _not_proven_on(now, room), against, room.settings)
    found = {to: places.promoted(cell.tag, cell.reference, to, room.site, held) for to in room.settings.promote}
    return cell.model_copy(update={"promoted": found, "slower": slower})


def _held(said: Verdict | None, slower: Sequence[str], unasked: Sequence[str], against: str, settings: Settings) -> str:
    """Why an image goes nowhere; empty when it may."""
    if settings.engine and said is None:
        return "no engine has proven it"
    if settings.bench and said and not said.measured:
        return "it was not measured"
    if slower:
        return slower[0]
    return f"not proven on {', '.join(unasked)} yet" if unasked else against


def _not_proven_on(now: Before, room: Room) -> tuple[str, ...]:
    """Runners whose word is missing, by what the registry has at this moment."""
    now_utc = datetime.now(timezone.utc)
    if not runners.asked(now, room.settings, now_utc):
        return ()
    there = replace(now, reports=reports_of(remote.repository(now.place, room.site), now.digest))
    return runners.asked(there, room.settings, now_utc)


def _scanned(cell: Cell, now: Before, room: Room) -> tuple[Cell, str]:
    """The cell with what is known against it, and why it stays where it is; empty where nothing counts."""
    done = scanned.scanned(now, room.site)
    if isinstance(done, str):
        return cell, done
    counts = tuple(map(str, done.counts))
    more = f" and {len(counts) - 1} more" if len(counts) > 1 else ""
    known = cell.model_copy(update={"vulnerabilities": done.numbers, "counts": counts})
    return known, f"{counts[0]}{more}" if counts else ""


def _attach(image: Before, site: Site) -> None:
    """What this machine has seen of an image. Raises Surroundings."""
    there = remote.repository(image.place, site)
    publish.told(there, image.digest, evidence.of(*attached.names_of(there, image.digest)))


def _error(log: Path) -> list[str]:
    """What a call said when it failed, by the end of its log."""
    return several.complaint(log.read_text(encoding="utf-8", errors="replace").splitlines())[:TOLD]
