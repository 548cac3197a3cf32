"""The folder of a pipeline on this machine: who is at it, what the night has done so far, and all nights before.

    lock            held while a night lasts; who holds it
    journal.jsonl   of the night that is not over: a line for whatever has come to an end
    nights/         NNNNNN-<time>.json for each night, NNNNNN-<time>/ with its logs
    index.html      all of them as a page

Nothing here decides what is made, the registry does. So the folder may be lost: what is lost then is history, and the
figures that new ones are compared with (baselines/).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit import amounts
from imagekit.errors import Surroundings
from imagekit.files import write
from imagekit.locking import Say

KEEP = 400
"""Nights on record; of older ones nothing stays."""

RESUMED = timedelta(hours=20)
"""How old a night may be that was broken off and is gone on with."""

_NAME = re.compile(r"(\d{6})-\d{8}T\d{6}Z")


class Cell(BaseModel):
    """What became of one cell in one night."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tag: str
    """The profile tag; of a cell that cannot be had, the command that would build it."""
    state: str
    """good | bad | impossible"""
    did: str = "nothing"
    """built | proven | nothing"""
    reasons: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    """Of one that is not good: lines."""
    code: int = 0
    """Exit code of what failed."""
    reference: str = ""
    """HOST/REPOSITORY@DIGEST of the image that the name leads to."""
    changes: tuple[str, ...] = ()
    """What the new image has in another version than the last."""
    size: int = 0
    """Bytes of its layers, compressed."""
    seconds: float = 0
    proof: str = ""
    """static 26, cpu 14"""
    checks: dict[str, int] = Field(default_factory=dict)
    """Of the proof of this night: stage -> checks that passed."""
    proof_seconds: float = 0
    on: dict[str, str] = Field(default_factory=dict)
    """Runner -> what it said this night."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Of benchmarks: name -> median."""
    slower: tuple[str, ...] = ()
    """Figures that are worse than they may be; it is not promoted then."""
    vulnerabilities: dict[str, int] | None = None
    """Known ones: severity -> how many; None where nobody looked."""
    counts: tuple[str, ...] = ()
    """Those of them that are bad enough and that nobody allows; it is not promoted then."""
    promoted: dict[str, str] = Field(default_factory=dict)
    """Where to -> there | went there | why not."""
    log: str = ""
    """Beside the page."""
    inputs: str = ""
    """Digest of what its profile, overlays and wishes came to when the night began."""


class Night(BaseModel):
    """One night, over or not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    started: str
    """ISO, UTC."""
    ended: str = ""
    pipeline: str = ""
    """Digests of the file and the site, and what of it was asked for."""
    version: str = ""
    """Of imagekit."""
    unknown: tuple[str, ...] = ()
    """What could not be asked."""
    cells: tuple[Cell, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.number:06}-{re.sub(r'[^0-9T]', '', self.started[:19])}Z"

    def cell(self, tag: str) -> Cell | None:
        return next((one for one in self.cells if one.tag == tag), None)


def usual(pipeline: Path) -> Path:
    """The folder of a pipeline file where nobody names one."""
    top = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "imagekit" / "nightly"
    where = pipeline.resolve()
    return top / f"{where.parent.name or 'top'}-{hashlib.sha256(os.fsencode(where)).hexdigest()[:8]}"


@dataclass(frozen=True)
class State:
    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / "index.html"

    def nights(self) -> list[Night]:
        """Those that are over, in their order; one that cannot be read is passed over."""
        found = []
        for path in sorted(self.folder.glob("nights/*.json"))[-KEEP:]:
            with contextlib.suppress(OSError, ValidationError, ValueError):
                found.append(Night.model_validate_json(path.read_text(encoding="utf-8")))
        return found

    def logs(self, night: Night) -> Path:
        return self.folder / "nights" / night.name

    def baseline(self, tag: str) -> Path:
        """The figures that those of an image are compared with."""
        return self.folder / "baselines" / f"{tag.rpartition(':')[2]}.json"

    def next_number(self) -> int:
        """Whatever the clock says: a number that no night has had."""
        names = [match for path in self.folder.glob("nights/*") if (match := _NAME.match(path.name))]
        return max((int(match[1]) for match in names), default=0) + 1

    def begin(self, pipeline: str, version: str, now: datetime) -> Night:
        """A new night, or the one that was broken off not long ago, with the cells that had come to their end."""
        left = self._left(pipeline, version, now)
        if left:
            return left
        started = now.astimezone(timezone.utc).isoformat(timespec="seconds")
        night = Night(number=self.next_number(), started=started, pipeline=pipeline, version=version)
        with kept():
            self.logs(night).mkdir(parents=True, exist_ok=True)
            write(self._journal, (night.model_dump_json() + "\n").encode())
        return night

    def note(self, cell: Cell) -> None:
        """Put a cell on record as done. It is on the disk when this returns."""
        with kept(), self._journal.open("ab") as file:
            file.write((cell.model_dump_json() + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def end(self, night: Night) -> None:
        with kept():
            write(self._record(night), (night.model_dump_json(indent=1) + "\n").encode())
            self._journal.unlink(missing_ok=True)

    def show(self, page: str) -> None:
        with kept():
            write(self.page, page.encode())

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.jsonl"

    def _record(self, night: Night) -> Path:
        return self.folder / "nights" / f"{night.name}.json"

    def _is_over(self, night: Night) -> bool:
        """Whether its record is there and whole: then it was killed while it put its journal away."""
        with contextlib.suppress(OSError, ValidationError, ValueError):
            return Night.model_validate_json(self._record(night).read_text(encoding="utf-8")).name == night.name
        return False

    def _left(self, pipeline: str, version: str, now: datetime) -> Night | None:
        """The night that a killed imagekit left. An old one, or of another pipeline or imagekit, is over as it is."""
        try:
            lines = self._journal.read_text(encoding="utf-8", errors="replace").splitlines()
            night = Night.model_validate_json(lines[0])
        except (OSError, IndexError, ValidationError, ValueError):
            return None
        if self._is_over(night):
            with kept():
                self._journal.unlink(missing_ok=True)
            return None
        cells: dict[str, Cell] = {}
        for line in lines[1:]:  # the last one may be half written, and any may be damaged
            with contextlib.suppress(ValidationError, ValueError):
                cell = Cell.model_validate_json(line)
                cells[cell.tag] = cell
        again = tuple(cell for cell in cells.values() if cell.state != "bad")
        if (night.pipeline, night.version) == (pipeline, version) and self.logs(night).is_dir() and _recent(night, now):
            return night.model_copy(update={"cells": again})  # what failed is tried once more
        self.end(night.model_copy(update={"cells": tuple(cells.values())}))
        return None


@contextlib.contextmanager
def kept(what: str = "the record of the night") -> Iterator[None]:
    """Around whatever is written. Raises Surroundings in place of OSError."""
    try:
        yield
    except OSError as error:
        raise Surroundings(
            f"{what} cannot be kept: {error.strerror}", hint="is the disk full? what is done is in the registry"
        ) from None


def _recent(night: Night, now: datetime) -> bool:
    """Also where a clock was put back meanwhile."""
    with contextlib.suppress(ValueError, TypeError):
        return abs(now - datetime.fromisoformat(night.started)) < RESUMED
    return False


@contextlib.contextmanager
def held(folder: Path, wait: bool, say: Say) -> Iterator[State]:
    """The folder of a pipeline for oneself. Raises Surroundings where another night has it and nobody is to wait."""
    try:
        (folder / "nights").mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise Surroundings(f"the folder of the nights cannot be used: {error.strerror}", hint="--state DIR") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _owner(file)
            if not wait:
                raise Surroundings(f"another nightly is at it: {who}", hint="--wait waits for its end") from None
            say("wait", f"another nightly is at it: {who}")
            fcntl.flock(file, fcntl.LOCK_EX)
        row = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(timezone.utc).isoformat()}
        file.truncate(0)
        file.write(json.dumps(row))
        file.flush()
        yield State(folder)


def _owner(file: Any) -> str:
    """pid 4711 on build-3, for 12 min"""
    try:
        file.seek(0)
        row = json.loads(file.read())
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(row["since"])).total_seconds()
        return f"pid {int(row['pid'])} on {row['host']}, for {amounts.clock(max(0.0, age))}"
    except (OSError, ValueError, KeyError, TypeError):
        return "nobody says who"
