"""A layer into a root; runs by itself, as root of namespaces, and in that root: no link of an image leads out of it.

    python3 -I -S unpack.py ROOT own|keep <tar

`keep`: files keep their owners. What a layer says is gone (OCI image specification, layer: `.wh.NAME`, and
`.wh..wh..opq` for all in a folder) goes, as far as it is of lower layers. Devices are left out: whoever runs an image
brings its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import enter  # type: ignore[import-not-found]  # beside this file, wherever that is

PREFIX, OPAQUE = ".wh.", ".wh..wh..opq"
PIECE = 2**20


def main() -> None:
    keep, mine, folders = sys.argv[2] == "keep", set[Path](), list[tuple[Path, float]]()
    os.chroot(sys.argv[1])
    os.chdir("/")
    os.umask(0)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|", errorlevel=2) as layer:
        for member in layer:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if ".." in parts:
                sys.exit(f"a name leads out of the image: {member.name!r}")
            path = Path("/", *parts)
            if parts[:1] == ["dev"] or member.ischr() or member.isblk():
                continue
            if path.name == OPAQUE:
                for other in list(path.parent.iterdir()):
                    lower(other, mine)
            elif path.name.startswith(PREFIX):
                name = path.name.removeprefix(PREFIX)
                if name in ("", ".", ".."):
                    sys.exit(f"nothing has the name that {member.name!r} says is gone")
                lower(path.with_name(name), mine)
            else:
                one(layer, member, path, keep)
                mine.add(path)
                if member.isdir():
                    folders.append((path, member.mtime))
    for path, time in reversed(folders):
        if path.is_dir():
            os.utime(path, (time, time))


def one(layer: tarfile.TarFile, member: tarfile.TarInfo, path: Path, keep: bool) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if os.path.lexists(path) and not (member.isdir() and is_folder(path)):
        remove(path)
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        os.link(Path("/", member.linkname), path, follow_symlinks=False)
        return
    elif member.isfifo():
        os.mkfifo(path)
    elif member.isreg():
        content = layer.extractfile(member)
        with path.open("xb") as out:
            while content and (data := content.read(PIECE)):
                out.write(data)
    else:
        return
    if keep:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        path.chmod(member.mode & 0o7777)
        capable = member.pax_headers.get(enter.TOLD_OF_CAPABILITIES)
        if capable and keep:  # after the owner: another one takes them away
            with contextlib.suppress(OSError):  # a file system that has none
                os.setxattr(path, enter.CAPABILITIES, capable.encode("utf-8", "surrogateescape"))
        os.utime(path, (member.mtime, member.mtime))


def is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def remove(path: Path) -> None:
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def lower(path: Path, mine: set[Path]) -> None:
    """Remove what lower layers have there, and leave what this one has brought."""
    if not os.path.lexists(path):
        return
    if is_folder(path):
        for other in list(path.iterdir()):
            lower(other, mine)
        if path not in mine and not any(path.iterdir()):
            path.rmdir()
    elif path not in mine:
        path.unlink()


main()
