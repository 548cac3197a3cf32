"""A program that makes whoever runs it root: it turns every hole in a service into a hole in the node."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..check import Check, Failure, Figures, Image

NOT_THE_IMAGE = ("proc", "sys", "dev")

DPKG = Path("/var/lib/dpkg/info")


def run(image: Image) -> Figures:
    found, known = sorted(files(Path("/"))), packaged(DPKG)
    strange = [str(path) for path in found if str(path) not in known]
    if strange:
        raise Failure(
            found=f"setuid or setgid: {', '.join(strange[:5])}",
            expected="only those that a package of the distribution brought",
            because="a step or a derived image put them there",
            fix="chmod u-s,g-s, or install the package that has the program",
        )
    return {"of_the_distribution": [str(path) for path in found]}


def files(top: Path) -> Iterator[Path]:
    """Files with the setuid or setgid bit that this user can see, on the file system of `top`."""
    device = top.lstat().st_dev
    for folder, names, entries in os.walk(top):
        if Path(folder) == top:
            names[:] = [name for name in names if name not in NOT_THE_IMAGE]
        names[:] = [name for name in names if _same(device, Path(folder, name))]
        for name in entries:
            try:
                mode = Path(folder, name).lstat().st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                yield Path(folder, name)


def _same(device: int, folder: Path) -> bool:
    try:
        return folder.lstat().st_dev == device
    except OSError:
        return False


def packaged(info: Path) -> set[str]:
    """Files that dpkg knows; /bin and /usr/bin are one folder, and its lists name either."""
    known: set[str] = set()
    for listing in info.glob("*.list"):
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
        known.update(line for line in lines if "bin/" in line or "/lib" in line)
    return known | {f"/usr{line}" for line in known if not line.startswith("/usr")}


CHECK = Check("setuid", "static", run, needs=("lock",))
