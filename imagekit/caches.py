"""What imagekit keeps on this machine to be quick: how much, since when, and getting rid of it.

Everything here can be made or fetched again. Locks, records and evidence are not here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import UsageError
from imagekit.files import sha256, write
from imagekit.oci.kept import kept
from imagekit.scratch import cache

WHAT = {
    "wheels": "files of packages, by their hash",
    "layers": "layers that were made of them (--engine compose)",
    "roots": "systems, unpacked to run their interpreter",
    "uv": "what uv keeps of indexes",
    "logs": "of builds",
}


@dataclass(frozen=True)
class Entry:
    kind: str
    path: Path
    size: int
    used: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Kind:
    name: str
    what: str
    count: int
    size: int


def kinds() -> list[Kind]:
    """A row for each kind that there is something of; what an engine keeps is its own."""
    found = []
    for name, what in WHAT.items():
        entries = list(_entries(name))
        if entries:
            found.append(Kind(name, what, len(entries), sum(entry.size for entry in entries)))
    return found


def amount(text: str) -> int:
    """20GB, 500 MB or 0 in bytes. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)B?\s*", text)
    if not match or (not match[2] and match[1] != "0"):
        raise UsageError(f"{text!r} is no size", hint="20GB, 500MB, or 0")
    return int(float(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}[match[2]])


def prune(limit: int) -> int:
    """Remove what was used longest ago of wheels, layers and roots until they take at most `limit`; the bytes removed.

    A layer that nothing stands for any more goes in any case. All stay while a build without an engine uses them.
    """
    if not cache().is_dir():  # nothing is made to find that there is nothing
        return 0
    shelf = kept()
    removed, layers = 0, []
    with shelf.alone() as free:
        # listed only now: who was alone before may have removed what was there
        found = (entry for kind in ("wheels", "layers", "roots") for entry in _entries(kind)) if free else ()
        entries = sorted(found, key=lambda entry: entry.used)
        left = sum(entry.size for entry in entries)
        for entry in entries:
            if entry.used and left - removed <= limit:
                break
            if entry.kind == "wheels":
                shutil.rmtree(entry.path.parent, ignore_errors=True)
            elif entry.kind == "roots":
                if not shelf.drop(entry.path):
                    continue
                _note(entry.path).unlink(missing_ok=True)
            else:
                layers.append(entry.path.name)
            removed += entry.size
        if layers:
            shelf.forget(*layers)
    return removed


def verify() -> list[str]:
    """Read every wheel and layer; those that are damaged are removed and named."""
    bad = [f"layer {digest}" for digest in kept().verify()]
    for entry in _entries("wheels"):
        with contextlib.suppress(FileNotFoundError):  # another imagekit removed it just now
            if sha256(entry.path) != entry.path.parent.name:
                shutil.rmtree(entry.path.parent, ignore_errors=True)
                bad.append(f"wheel {entry.path.name}")
    return bad


def _entries(kind: str) -> Iterator[Entry]:
    """What is removed while this looks is left out: others prune, and fetch."""
    used = kept().used() if kind == "layers" else {}
    for path in _paths(kind):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            size = _noted(path) if kind == "roots" else _size(path) if path.is_dir() else status.st_size
            yield Entry(kind, path, size, used.get(path.name, 0.0) if kind == "layers" else status.st_mtime)


def _paths(kind: str) -> list[Path]:
    top = cache()
    if kind == "layers":
        return list((top / "layers/blobs").glob("*"))
    if kind == "roots":
        return [path for path in (top / "layers/roots").glob("*") if path.is_dir()]
    if kind == "logs":
        return list((top / kind).glob("*.log"))
    if kind == "wheels":  # without one of these endings it is being fetched just now
        return [path for path in _below(top / kind) if path.name.endswith((".whl", ".gz", ".zip", ".bz2", ".xz"))]
    return [top / kind] if (top / kind).is_dir() else []


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a folder and its folders; `glob` fails at one that is removed meanwhile."""
    for place, folders, names in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *names))


def _noted(root: Path) -> int:
    """The size of an unpacked system, which never changes: to count one takes half a second."""
    note = _note(root)
    try:
        return int(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        size = _size(root)
        if root.is_dir():  # else it was removed while it was counted
            with contextlib.suppress(OSError):  # whoever prunes may have no room for it
                write(note, str(size).encode())
        return size


def _note(root: Path) -> Path:
    return root.with_name(f"{root.name}.size")


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; a file with several names once."""
    seen: dict[int, int] = {}
    for path in _below(folder):
        with contextlib.suppress(OSError):
            status = path.lstat()
            seen[status.st_ino] = status.st_size
    return sum(seen.values())
