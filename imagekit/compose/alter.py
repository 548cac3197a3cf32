"""Run a command in a root, and write what it changed there as a layer; runs by itself, as root of namespaces.

    python3 -I -S alter.py

The first line of stdin is as that of enter.py, with "epoch" (seconds) and "made": files that are there only for a mount
to be seen at. The tar of the layer is on stdout.

What a file was before is known by its inode, its time of change, its mode and its owner: the kernel sets the time of
change, and nobody can set it back. A file that is gone is a whiteout (OCI image specification, layer). The command's
own output is on stderr; its exit status is that of the program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import enter  # type: ignore[import-not-found]  # beside this file, wherever that is

NOT_OURS = {"dev", "proc", "sys", "tmp"}
"""Folders that are the process's own while it runs."""

GIVEN = {"etc/resolv.conf", "etc/hosts", "etc/hostname"}
"""Files that whatever runs an image gives it."""

NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS of unshare(2)."""

Seen = dict[str, tuple[int, ...]]


def main() -> None:
    wanted: dict[str, Any] = enter.told()
    root = Path(wanted["root"])
    enter.no_links(root)
    for place in GIVEN:  # a link would lead a mount somewhere else
        if (root / place).is_symlink():
            (root / place).unlink()
    before = dict(look(root, ""))
    made = [root / place for place in wanted["made"] if not (root / place).exists()]
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        enter.called(enter.LIBC.unshare(NEW_MOUNTS), "a mount namespace of its own")
        enter.inside(wanted)
    _, status = os.waitpid(child, 0)
    # what a step left running ends now, before its files are read: this is the first process of its namespace
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.wait():
                pass
    if status:
        sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    for path in made:  # what a mount needed to be seen at
        path.unlink()
    after = dict(look(root, ""))
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as layer:
        write(layer, root, before, after, wanted["epoch"])


def look(root: Path, above: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Path -> what would be another one, if the file were. A folder is the same whatever comes and goes in it."""
    for entry in os.scandir(root / above):
        path = f"{above}{entry.name}"
        if path in GIVEN or (not above and entry.name in NOT_OURS):
            continue
        status = entry.stat(follow_symlinks=False)
        own = (status.st_mode, status.st_uid, status.st_gid)
        if stat.S_ISDIR(status.st_mode):
            yield path, own
            yield from look(root, f"{path}/")
        else:
            yield path, (*own, status.st_ino, status.st_ctime_ns)


def is_folder(path: str, seen: Seen) -> bool:
    """Whether it is one, and no link to one: what is gone below a link is gone with the folder that was there."""
    return not path or (path in seen and stat.S_ISDIR(seen[path][0]))


def write(layer: tarfile.TarFile, root: Path, before: Seen, after: Seen, epoch: int) -> None:
    """Sorted, with the folders that lead to what changed: a layer that lists a folder sets its mode anew."""
    changed = {path for path, seen in after.items() if before.get(path) != seen}
    gone = {path for path in before.keys() - after.keys() if is_folder(os.path.dirname(path), after)}  # noqa: PTH120
    folders = {str(folder) for path in changed | gone for folder in Path(path).parents} - {"."}
    rows = [(path, False) for path in changed | folders] + [(path, True) for path in gone]
    for path, is_gone in sorted(rows):
        place = root / path
        if is_gone:
            mark = tarfile.TarInfo(str(Path(path).with_name(f".wh.{place.name}")))
            mark.mtime = epoch
            layer.addfile(mark)
        elif not place.is_socket():
            info = layer.gettarinfo(str(place), path)
            info.mtime, info.uname, info.gname = epoch, "", ""
            info.pax_headers = capabilities(place) if info.isreg() else {}
            with place.open("rb") if info.isreg() else open(os.devnull, "rb") as file:  # noqa: PTH123
                layer.addfile(info, file)


def capabilities(file: Path) -> dict[str, str]:
    """What lets a program do more than its user, as layers tell it; seen from these users, whoever they are outside."""
    try:
        value = os.getxattr(file, enter.CAPABILITIES)
    except OSError:  # none, or a file system that has none
        return {}
    return {enter.TOLD_OF_CAPABILITIES: value.decode("utf-8", "surrogateescape")}


main()
