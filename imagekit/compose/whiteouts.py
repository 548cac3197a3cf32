"""Take away what a layer says is gone, once it is unpacked; runs by itself, as root of namespaces.

    python3 -I -S whiteouts.py ROOT NANOSECONDS

`.wh.NAME` stands for NAME that is no more, `.wh..wh..opq` for all that lower layers had in its folder (OCI image
specification, layer). Those of this layer are known by their time of change: it is after the given one.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PREFIX, OPAQUE = ".wh.", ".wh..wh..opq"


def main(root: Path, since: int) -> None:
    for mark in list(root.rglob(f"{PREFIX}*")):
        mark.unlink()
        if mark.name == OPAQUE:
            for other in list(mark.parent.iterdir()):
                if not other.name.startswith(PREFIX):
                    older(other, since)
        else:
            remove(mark.with_name(mark.name.removeprefix(PREFIX)))


def older(path: Path, since: int) -> None:
    """Remove what is older, and folders that hold nothing else."""
    before = path.lstat().st_ctime_ns < since
    if not path.is_symlink() and path.is_dir():
        for other in list(path.iterdir()):
            older(other, since)
        if before and not any(path.iterdir()):
            path.rmdir()
    elif before:
        path.unlink()


def remove(path: Path) -> None:
    if not path.is_symlink() and path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


main(Path(sys.argv[1]), int(sys.argv[2]))
