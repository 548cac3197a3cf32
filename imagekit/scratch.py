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


IMAGE = "image"
"""Purpose of a folder whose file `iid` names an image of the engine: who removes the image removes the folder."""


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
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-{purpose}-", dir=top) as name:
        yield Path(name)


def left_images() -> Iterator[tuple[Path, str]]:
    """(folder, image id) of killed processes: images that were built and not named yet, for the caller to remove."""
    for old in _dead():
        file = old / "iid"
        if old.name.split("-")[1] == IMAGE:
            yield old, file.read_text().strip() if file.is_file() else ""


def _dead() -> list[Path]:
    top = cache() / "tmp"
    return [old for old in top.iterdir() if not alive(old.name.split("-")[0])] if top.is_dir() else []


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
