"""Several builds from one command: each an imagekit of its own, side by side within a budget of CPUs and disk.

A build that fails does not stop the others. Ctrl-C stops all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from imagekit import amounts, scratch
from imagekit.errors import Surroundings

GRACE = 30
"""Seconds that interrupted builds get to end in order."""

CPUS = 2
"""CPUs that one build keeps busy: installing and compiling bytecode."""


@dataclass(frozen=True)
class Job:
    name: str
    arguments: tuple[str, ...]
    """Of `imagekit`."""
    disk: int = 0
    """Bytes that it needs while it runs."""


@dataclass
class Outcome:
    name: str
    code: int
    stdout: str


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[str]
    threads: list[threading.Thread]
    stdout: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    """The first that `say` raised."""


def complaint(lines: Sequence[str]) -> list[str]:
    """What a call said when it failed, from its last line that begins with `error:`, and without that word.

    Of a traceback, which has paths of this machine, only the last line.
    """
    start = max((number for number, line in enumerate(lines) if line.startswith("error:")), default=len(lines) - 1)
    found = [line.removeprefix("error: ").rstrip() for line in lines[max(0, start) :]]
    return found or ["it ended without a word"]


def jobs_at_once(wanted: int | None) -> int:
    return wanted or max(1, (os.cpu_count() or 1) // CPUS)


def run(
    jobs: list[Job], *, at_once: int, free_disk: Callable[[], int | None], say: Callable[[str, str], None],
    begins: Callable[[str], None] = lambda _: None, ended: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:  # fmt: skip
    """Run all; outcomes in the order of `jobs`. `say(name, line)` gets every line that a build prints for people;
    `begins` the name of each as it starts, `ended` each outcome as it comes, while others run on.

    A job starts when fewer than `at_once` run and the disk has room for it and for what the running ones need, or when
    nothing runs: it then says itself that there is too little. What `say` raises stops all, once that job has ended;
    an OSError of it is told as Surroundings.
    """
    waiting, running = list(jobs), list[_Running]()
    outcomes: dict[str, Outcome] = {}
    try:
        while waiting or running:
            _start_some(waiting, running, at_once, free_disk, say, begins)
            over: list[_Running] = []
            while not over:
                time.sleep(0.05)
                over = [entry for entry in running if entry.process.poll() is not None]
            for entry in over:
                running.remove(entry)
                outcomes[entry.job.name] = _ended(entry)
                ended(outcomes[entry.job.name])
    except BaseException:
        _stop(running)
        raise
    return [outcomes[job.name] for job in jobs]


def _start_some(
    waiting: list[Job], running: list[_Running], at_once: int, free_disk: Callable[[], int | None],
    say: Callable[[str, str], None], begins: Callable[[str], None],
) -> None:  # fmt: skip
    """Move jobs from `waiting` to `running`, as many as there is room for now."""
    free = free_disk() if waiting else None
    while waiting and len(running) < at_once:
        taken = sum(entry.job.disk for entry in running)
        if running and free is not None and free < taken + waiting[0].disk:
            names = ", ".join(entry.job.name for entry in running)
            say(waiting[0].name, f"{'waits':<8} {amounts.size(free)} of disk are too little for it beside {names}")
            return
        begins(waiting[0].name)
        running.append(_start(waiting.pop(0), say))


def _start(job: Job, say: Callable[[str, str], None]) -> _Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "imagekit", *job.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True, preexec_fn=scratch.die_with_parent,
    )  # fmt: skip
    entry = _Running(job, process, [])
    assert process.stdout is not None and process.stderr is not None
    stdout, stderr = process.stdout, process.stderr

    def read_lines() -> None:
        for line in stderr:  # to its end, whatever `say` does: a full pipe that nobody reads holds a build for ever
            try:
                say(job.name, line.rstrip("\n"))
            except Exception as error:
                entry.trouble = entry.trouble or error

    entry.threads += [
        threading.Thread(target=lambda: entry.stdout.append(stdout.read()), daemon=True),
        threading.Thread(target=read_lines, daemon=True),
    ]
    for thread in entry.threads:
        thread.start()
    return entry


def _ended(entry: _Running) -> Outcome:
    for thread in entry.threads:
        thread.join()
    if isinstance(entry.trouble, OSError):
        raise Surroundings(
            f"what {entry.job.name or 'a call'} says cannot be kept: {entry.trouble.strerror or entry.trouble}",
            hint="is the disk full?",
        ) from None
    if entry.trouble:
        raise entry.trouble
    return Outcome(entry.job.name, entry.process.returncode, "".join(entry.stdout))


def _stop(running: list[_Running]) -> None:
    for entry in running:
        with contextlib.suppress(ProcessLookupError):
            entry.process.send_signal(signal.SIGINT)
    ends = time.monotonic() + GRACE
    for entry in running:
        try:
            entry.process.wait(max(0.1, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            entry.process.kill()
            entry.process.wait()
