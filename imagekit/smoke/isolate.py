"""Each check in a process of its own: what crashes, hangs, prints or eats memory in there stays in there."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .check import Check, Failure, Figures, Image, Skip, shorten

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

PASSED_ON, LOUDEST, TAIL = 2**16, 2**24, 2000
"""Bytes of a check's output: what goes on to stderr, what it is stopped for, what the report of a bad one quotes."""

FIRST_VICTIM = "1000"
"""For /proc/self/oom_score_adj: when memory runs out, the kernel ends a check and not the program that reports it."""


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
    said: str = ""
    """The last that a bad check printed."""
    peak_mb: int = 0
    """The most memory that its process had, pages shared with others included."""
    key: str = ""
    """What the result depends on, as a digest (results.py); empty where it holds for this run only."""
    proven: str = ""
    """Since when, for a result that was not made now."""


@dataclass
class Child:
    """A running check."""

    check: Check
    pid: int
    started: float
    folder: Path
    pipe: int
    """Where its output can be read."""
    printed: int = 0
    """Bytes so far."""
    tail: bytes = b""

    @property
    def deadline(self) -> float:
        return self.started + self.check.limit

    def listen(self) -> None:
        """Take what it has printed."""
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self.pipe, 2**16):
                rest = max(0, PASSED_ON - self.printed)
                sys.stderr.buffer.write(text[:rest])
                sys.stderr.flush()
                self.printed += len(text)
                self.tail = (self.tail + text)[-TAIL:]
                if self.printed > LOUDEST:
                    return


def run_all(checks: Iterable[Check], image: Image, at_once: int, private: Sequence[int] = ()) -> Iterator[Result]:
    """Run checks, at most `at_once` together, and yield results as they come. `private`: files that no check may have
    open, such as the report."""
    waiting, running = list(checks), dict[int, Child]()
    with _alarm() as alarm:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    child = _start(waiting.pop(0), image, [*private, *(other.pipe for other in running.values())])
                    running[child.pid] = child
                patience = max(0.0, min(child.deadline for child in running.values()) - time.monotonic())
                pipes = [child.pipe for child in running.values() if not _mute(child)]
                select.select([alarm, *pipes], [], [], min(patience, 1.0))
                with contextlib.suppress(BlockingIOError):
                    os.read(alarm, 512)
                yield from _finished(running)
            _end_strays(running)
        finally:
            for child in running.values():
                _kill(child)
                os.waitpid(child.pid, 0)
                _clear(child)


@contextlib.contextmanager
def _alarm() -> Iterator[int]:
    """A pipe that can be read as soon as a child ends, whichever thread of a library the signal reaches."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    old_handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(old_fd)
        signal.signal(signal.SIGCHLD, old_handler)
        os.close(read)
        os.close(write)


def _mute(child: Child) -> bool:
    """Whether the child has closed its output: such a pipe is always ready, and would keep us busy."""
    poll = select.poll()
    poll.register(child.pipe, select.POLLIN)
    return any(event & select.POLLHUP and not event & select.POLLIN for _, event in poll.poll(0))


def _finished(running: dict[int, Child]) -> Iterator[Result]:
    for child in list(running.values()):
        child.listen()
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        ending = "" if pid else _forced(child)
        if ending:
            _kill(child)
            pid, status, used = os.wait4(child.pid, 0)
        if pid:
            del running[child.pid]
            _kill(child)
            if not ending:
                child.listen()
            try:
                result = _verdict(child, ending or _ending(status), used.ru_maxrss // 1024)
            except (OSError, ValueError, TypeError, KeyError) as error:  # an answer that is none
                found = shorten(f"its answer cannot be read: {type(error).__name__}: {error}")
                result = Result(child.check.name, child.check.stage, "ERROR", found=found, expected="an answer")
            finally:
                _clear(child)
            yield result


def _forced(child: Child) -> str:
    """Why a check has to be ended; empty when it may go on."""
    if child.printed > LOUDEST:
        return f"it printed more than {LOUDEST // 2**20} MB"
    return f"no end after {child.check.limit:g} s" if time.monotonic() >= child.deadline else ""


def _ending(status: int) -> str:
    """How a process ended: "" for a normal exit."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"the check died: {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    code = os.WEXITSTATUS(status)
    return f"the check died: exit {code}" if code else ""


def _verdict(child: Child, ending: str, peak_mb: int) -> Result:
    name, stage = child.check.name, child.check.stage
    seconds = round(time.monotonic() - child.started, 2)
    answer, note = child.folder / "answer.json", child.folder / "note"
    said = child.tail.decode(errors="replace")
    if answer.is_file() and not ending:
        told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        if told["status"] in ("FAIL", "ERROR"):
            told["said"] = said
        return Result(name, stage, seconds=seconds, peak_mb=peak_mb, **told)
    doing = f"it was at: {note.read_text(encoding='utf-8', errors='replace')}" if note.is_file() else ""
    found = ending or "the check died: no answer"
    return Result(
        name, stage, "ERROR", seconds, found=found, expected="an answer", because=doing, said=said, peak_mb=peak_mb
    )


def _kill(child: Child) -> None:
    """End the check's whole process group: workers that it started must not outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


_adopting: list[int] = []
"""The process that has no children but checks and what they left behind, once it has said so."""


def adopt() -> None:
    """Become the parent of what checks leave behind, so that it can be ended with them. This process must have no
    other children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    _adopting[:] = [os.getpid()]


def _end_strays(running: dict[int, Child]) -> None:
    """End processes that left their check's group, and so their parent: nothing of ours has any other children."""
    if _adopting != [os.getpid()]:
        return
    try:
        told = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return
    for pid in {int(word) for word in told.split()} - set(running):
        with contextlib.suppress(ProcessLookupError, ChildProcessError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _clear(child: Child) -> None:
    os.close(child.pipe)
    shutil.rmtree(child.folder, ignore_errors=True)


def _start(check: Check, image: Image, private: Sequence[int]) -> Child:
    folder = Path(tempfile.mkdtemp(prefix="imagekit-check-"))
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    started, parent = time.monotonic(), os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _become_child(folder, parent, write, [*private, read])
            _answer(folder, judge(lambda: check.run(image)))
            code = 0
        finally:
            # Never unwind into the parent's frames, and run no exit handler that belongs to the parent.
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    os.set_blocking(read, False)
    with contextlib.suppress(PermissionError, ProcessLookupError):  # the child has done it itself, or is gone
        os.setpgid(pid, pid)
    return Child(check, pid, started, folder, read)


def _become_child(folder: Path, parent: int, output: int, private: Sequence[int]) -> None:
    for file in private:
        os.close(file)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_VICTIM, encoding="ascii")
    os.dup2(output, 2)
    os.dup2(output, 1)
    os.close(output)
    sys.stdout = sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)
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
