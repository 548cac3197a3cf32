"""A service that can write to its own packages: one exploited request changes what every later process of it
imports."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..check import Check, Failure, Figures, Image

GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def run(image: Image) -> Figures:
    counted, bad = 0, list[str]()
    for folder in (image.venv, image.root):
        for path, info in walk(folder):
            counted += 1
            if info.st_uid != 0:
                bad.append(f"{path} belongs to uid {info.st_uid}")
            elif info.st_mode & GROUP_OR_OTHERS:
                bad.append(f"{path} has mode {stat.S_IMODE(info.st_mode):04o}")
            elif os.getuid() != 0 and not info.st_mode & stat.S_IROTH:
                bad.append(f"{path} cannot be read by everybody (mode {stat.S_IMODE(info.st_mode):04o})")
    if bad:
        raise Failure(
            found=f"{len(bad)} files, such as {'; '.join(bad[:3])}",
            expected=f"everything in {image.venv} and {image.root} is root's, 0755 or 0644",
            because="pip ran as another user or with another umask, or a COPY without --chmod",
            fix="RUN pip install as root with umask 022, then USER 1000:0",
        )
    return {"files": counted}


def walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file and folder below, itself included, and not what links lead to."""
    yield str(folder), folder.stat()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_dir():
                yield from walk(Path(entry.path))
            else:
                yield entry.path, entry.stat()


CHECK = Check("read-only", "static", run, needs=("lock",))
