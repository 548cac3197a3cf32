"""Each check in a process of its own: what crashes, hangs or prints in there stays in there."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .check import Check, Failure, Figures, Image, Skip, shorten

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Result:
    """One line of the report. The empty string stands for "nothing to say"."""

    check: str
    stage: str
    status: str
    seconds: float = 0.0
    figures: Figures = field(default_factory=dict)
    found: str = ""
    expected: str = ""
    because: str = ""
    fix: str = ""
    on_gpu: str = ""
    reason: str = ""
    covers: tuple[str, ...] = ()

    def line(self) -> str:
        return json.dumps(self.__dict__, default=str)


@dataclass(frozen=True)
class Child:
    """A running check."""

    check: Check
    pid: int
    started: float
    folder: Path

    @property
    def deadline(self) -> float:
        return self.started + self.check.limit


def run_all(checks: Iterable[Check], image: Image, at_once: int) -> Iterator[Result]:
    """Run checks, at most `at_once` together, and yield results as they come.

    SIGCHLD is blocked and waited for, so no time is lost in polling and threads of imported libraries cannot take it.
    """
    waiting, running = list(checks), dict[int, Child]()
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                child = _start(waiting.pop(0), image, old_mask)
                running[child.pid] = child
            patience = max(0.0, min(child.deadline for child in running.values()) - time.monotonic())
            signal.sigtimedwait({signal.SIGCHLD}, min(patience, 1.0))
            yield from _finished(running)
    finally:
        for child in running.values():
            _kill(child)
            os.waitpid(child.pid, 0)
            shutil.rmtree(child.folder, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _finished(running: dict[int, Child]) -> Iterator[Result]:
    for child in list(running.values()):
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        hung = pid == 0 and time.monotonic() >= child.deadline
        if hung:
            _kill(child)
            os.waitpid(child.pid, 0)
        if pid or hung:
            del running[child.pid]
            _kill(child)
            result = _verdict(child, "timeout" if hung else _ending(status))
            shutil.rmtree(child.folder, ignore_errors=True)
            yield result


def _ending(status: int) -> str:
    """How a process ended: "" for a normal exit."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return f"exit {code}" if code else ""


def _verdict(child: Child, ending: str) -> Result:
    name, stage = child.check.name, child.check.stage
    seconds = round(time.monotonic() - child.started, 2)
    answer, note = child.folder / "answer.json", child.folder / "note"
    if answer.is_file() and ending != "timeout":
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return Result(name, stage, seconds=seconds, **said)
    found = f"the check died: {ending or 'no answer'}"
    if ending == "timeout":
        found = f"no end after {child.check.limit:g} s"
    doing = f"it was at: {note.read_text(encoding='utf-8')}" if note.is_file() else ""
    return Result(name, stage, "ERROR", seconds, found=found, expected="an answer", because=doing)


def _kill(child: Child) -> None:
    """End the check's whole process group: workers that it started must not outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _start(check: Check, image: Image, mask: Iterable[signal.Signals | int]) -> Child:
    folder = Path(tempfile.mkdtemp(prefix="imagekit-check-"))
    sys.stdout.flush()
    sys.stderr.flush()
    started, parent = time.monotonic(), os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _become_child(folder, parent, mask)
            _answer(folder, judge(lambda: check.run(image)))
            code = 0
        finally:
            # Never unwind into the parent's frames, and run no exit handler that belongs to the parent.
            sys.stderr.flush()
            os._exit(code)
    with contextlib.suppress(PermissionError, ProcessLookupError):  # the child has done it itself, or is gone
        os.setpgid(pid, pid)
    return Child(check, pid, started, folder)


def _become_child(folder: Path, parent: int, mask: Iterable[signal.Signals | int]) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    os.environ["TMPDIR"] = tempfile.tempdir = str(work)
    os.environ["IMAGEKIT_CHECK_NOTE"] = str(folder / "note")


def _answer(folder: Path, said: dict[str, Any]) -> None:
    draft = folder / "answer.draft"
    draft.write_text(json.dumps(said, default=str), encoding="utf-8")
    draft.rename(folder / "answer.json")


def judge(run: Callable[[], Figures]) -> dict[str, Any]:
    """Run a check's body and put its ending into the fields of a Result."""
    try:
        return {"status": "PASS", "figures": run()}
    except Failure as no:
        texts = ("found", "expected", "because", "fix", "on_gpu")
        return {"status": "FAIL", **{name: getattr(no, name) for name in texts}}
    except Skip as reason:
        return {"status": "SKIP", "reason": str(reason)}
    except BaseException as error:  # a check that breaks is a finding, whatever it raised (SystemExit too)
        traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "status": "ERROR",
            "found": shorten(f"{type(error).__name__}: {error}"),
            "expected": "no exception",
            "because": f"{Path(place.filename).name}:{place.lineno} {place.line or ''}".strip(),
        }
