"""The cache folder, temporary folders in it, and children: what must not outlive a killed imagekit.

SIGKILL runs no cleanup. So temporary folders carry the process id in their name and the next run removes those of dead
processes, and children ask the kernel to be stopped when their parent is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagekit"


@contextlib.contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A temporary folder, readable by this user only."""
    top = cache() / "tmp"
    top.mkdir(parents=True, exist_ok=True)
    for old in top.iterdir():
        if not alive(old.name.split("-")[0]):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-{purpose}-", dir=top) as name:
        yield Path(name)


def clean() -> None:
    """Remove this process's temporary folders: a signal between making one and entering it leaves it behind."""
    for own in (cache() / "tmp").glob(f"{os.getpid()}-*"):
        shutil.rmtree(own, ignore_errors=True)


def alive(pid: str) -> bool:
    """Whether a process of that id runs; True for what is no process id, which is then not ours to judge."""
    return not pid.isdigit() or Path(f"/proc/{pid}").is_dir()


def die_with_parent() -> None:
    """To be called in a child before exec (preexec_fn): SIGTERM when imagekit is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
