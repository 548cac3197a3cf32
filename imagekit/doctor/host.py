"""This machine as the checks see it: files, folders, commands, limits, the engine and the indexes.

Everything that touches the machine is here, so that a check is a function of a Host and a test gives it another one.
Nothing is changed, nothing is started in the engine, and nothing waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import Error, Surroundings
from imagekit.site import Site

if TYPE_CHECKING:
    from imagekit.engines.look import Look

PATIENCE = 10
"""Seconds for one command, one answer of the engine, one request to an index."""

_SILENT = "docker version hangs too: restart the engine (systemctl restart docker), or set DOCKER_HOST"


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: int = 0
    out: str = ""
    err: str = ""
    missing: bool = False
    """There is no such command, or it may not be run."""
    hung: bool = False
    """It did not end in time."""

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.missing and not self.hung

    @property
    def said(self) -> str:
        """Everything it said: nvidia-smi writes its errors to either."""
        return f"{self.out}\n{self.err}".strip()


@dataclass(frozen=True)
class Space:
    """A file system, in bytes."""

    total: int
    free: int


class Host:
    """The real machine. A command is run once, however many checks ask for it."""

    def __init__(self, site: Site, environ: Mapping[str, str] = os.environ) -> None:
        self.site = site
        self.environ = environ
        self._look: Look | None = None
        self._ran: dict[tuple[str, ...], Ran] = {}

    def read(self, path: str) -> str:
        """A text file; "" where there is none, or it may not be read."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def names(self, folder: str) -> tuple[str, ...]:
        """What is in a folder, sorted; nothing where there is none."""
        try:
            return tuple(sorted(os.listdir(folder)))  # noqa: PTH208 (names, not paths)
        except OSError:
            return ()

    def run(self, *command: str, patience: float | None = None) -> Ran:
        """`patience`: seconds until it counts as hung; PATIENCE where nothing is said."""
        if command not in self._ran:
            self._ran[command] = _run(command, {**self.environ, "LC_ALL": "C"}, patience or PATIENCE)
        return self._ran[command]

    def space(self, path: str) -> Space | None:
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            return None
        return Space(usage.total, usage.free)

    def memlock(self) -> int:
        """Bytes that a process of this user may lock; -1 for no limit."""
        return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]

    def libc(self) -> str:
        """ "glibc 2.36"; "" for another C library."""
        try:
            return os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (ValueError, OSError):
            return ""

    @property
    def engine(self) -> Look:
        from imagekit.engines import look

        if self._look is None:
            # what stands while it is asked, and for good where that never ends: nobody waits for it twice
            self._look = look.Look(trouble=Surroundings("no Docker Engine answers in time", hint=_SILENT))
            self._look = look.look(PATIENCE)
        return self._look

    def index(self, name: str, package: str, variant: str) -> Error | None:
        """Why an index of the site cannot be used; None when it can."""
        from imagekit import index
        from imagekit.lock import uv

        if name == "pypi" and not self.site.default_index:
            return uv.reachable(self.site, PATIENCE)
        return index.reachable(self.site, name, variant, package, PATIENCE)


def _run(command: tuple[str, ...], environ: Mapping[str, str], patience: float) -> Ran:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=dict(environ), start_new_session=True,
        )  # fmt: skip
    except OSError:
        return Ran(127, missing=True)
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        # a process that waits for a driver cannot be killed: it is left to the kernel, and not waited for again
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        return Ran(124, hung=True)
    return Ran(process.returncode, out, err)
