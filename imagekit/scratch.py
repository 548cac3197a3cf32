"""The cache folder, temporary folders in it, and children: what must not outlive a killed imagekit.

SIGKILL runs no cleanup. So temporary folders carry the process id in their name and the next run removes those of dead
processes, and children ask the kernel to be stopped when their parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""prctl(2)."""


IMAGE = "image"
"""Purpose of a folder whose name is the tag of an image of the engine: who removes the image removes the folder."""


def resolver() -> dict[str, str]:
    """How this machine's user has the resolver ask for names (resolv.conf(5)), for a child without an environment."""
    return {"RES_OPTIONS": os.environ["RES_OPTIONS"]} if os.environ.get("RES_OPTIONS") else {}


def reaching(ca: str, proxies: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that asks the network as a site says. `ca`: a file; `proxies`: http, https and
    no_proxy -> address or hosts."""
    named = {"NO_PROXY" if kind == "no_proxy" else f"{kind.upper()}_PROXY": url for kind, url in proxies.items()}
    return {**os.environ, **({"SSL_CERT_FILE": ca} if ca else {}), **named}


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagekit"


@contextlib.contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A temporary folder, readable by this user only."""
    top = cache() / "tmp"
    top.mkdir(parents=True, exist_ok=True)
    for old in _dead():
        if old.name.split("-")[1] != IMAGE:
            shutil.rmtree(old, ignore_errors=True)
    # what cannot be removed now is no reason to fail: the next run removes it
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-{purpose}-", dir=top, ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def one_at_a_time(name: str, waits: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One of its name on this machine, threads and processes; `waits` is called where another is at it. Freed even by
    SIGKILL."""
    place = cache() / "building"
    place.mkdir(parents=True, exist_ok=True)
    with (place / name.replace("/", "_").replace(":", "_")).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def left(purpose: str) -> list[Path]:
    """Folders of killed processes that the caller has to remove, as it knows how: one of an image with the image that
    it names, one of a tree with files of other users."""
    return [old for old in _dead() if old.name.split("-")[1] == purpose]


def _dead() -> list[Path]:
    top = cache() / "tmp"
    return [old for old in top.iterdir() if not _owned(old)] if top.is_dir() else []


def _owned(folder: Path) -> bool:
    try:
        return alive(folder.name.split("-")[0], folder.stat().st_mtime)
    except OSError:  # its owner removed it just now
        return True


def clean() -> None:
    """Remove this process's temporary folders: a signal between making one and entering it leaves it behind.

    One that stands for an image stays: that image is still there.
    """
    for own in (cache() / "tmp").glob(f"{os.getpid()}-*"):
        if own.name.split("-")[1] != IMAGE:
            shutil.rmtree(own, ignore_errors=True)


def alive(pid: str, since: float | None = None) -> bool:
    """Whether the process of that id runs; True for what is no process id, which is then not ours to judge.

    `since`: seconds since the epoch of something it made. An id is used again, by processes and by threads: a process
    that started later did not make it.
    """
    if not pid.isdigit():
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    if f"\nTgid:\t{pid}\n" not in status:  # the id of a thread
        return False
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), 20th after the name
    return since is None or started <= since + 1


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block: for a call of moments whose answer says what to clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def die_with_parent() -> None:
    """To be called in a child before exec (preexec_fn): SIGTERM when imagekit is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def killed_with_parent() -> None:
    """As `die_with_parent`, by SIGKILL: for what waits for its own children before it heeds anything else."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
