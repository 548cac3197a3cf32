"""What imagekit keeps on this machine to be quick: how much, since when, and getting rid of it.

Everything here can be made or fetched again. Locks, records and evidence are not here.
"""

from __future__ import annotations

import contextlib
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
    entries = sorted((e for kind in ("wheels", "layers", "roots") for e in _entries(kind)), key=lambda e: e.used)
    left, removed, layers = sum(entry.size for entry in entries), 0, []
    with contextlib.ExitStack() as stack:
        free = stack.enter_context(shelf.alone())
        for entry in entries:
            if not free or (entry.used and left - removed <= limit):
                break
            if entry.kind == "wheels":
                shutil.rmtree(entry.path.parent, ignore_errors=True)
            elif entry.kind == "roots":
                shutil.rmtree(entry.path, ignore_errors=True)
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
        if sha256(entry.path) != entry.path.parent.name:
            shutil.rmtree(entry.path.parent, ignore_errors=True)
            bad.append(f"wheel {entry.path.name}")
    return bad


def _entries(kind: str) -> Iterator[Entry]:
    top = cache()
    if kind == "layers":
        used = kept().used()
        for blob in (top / "layers/blobs").glob("*"):
            yield Entry(kind, blob, blob.stat().st_size, used.get(blob.name, 0.0))
    elif kind == "roots":
        for root in (top / "layers/roots").glob("*"):
            if root.is_dir():
                yield Entry(kind, root, _noted(root), root.stat().st_mtime)
    else:
        pattern = {"wheels": "*/*/*", "logs": "*.log"}.get(kind)
        if pattern:
            for path in (top / kind).glob(pattern):
                if kind == "wheels" and not path.name.endswith((".whl", ".gz", ".zip", ".bz2", ".xz")):
                    continue  # it is being fetched just now
                yield Entry(kind, path, path.stat().st_size, path.stat().st_mtime)
        elif (top / kind).is_dir():
            yield Entry(kind, top / kind, _size(top / kind), (top / kind).stat().st_mtime)


def _noted(root: Path) -> int:
    """The size of an unpacked system, which never changes: to count one takes half a second."""
    note = _note(root)
    try:
        return int(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        size = _size(root)
        write(note, str(size).encode())
        return size


def _note(root: Path) -> Path:
    return root.with_name(f"{root.name}.size")


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; a file with several names once."""
    seen: dict[int, int] = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            seen[status.st_ino] = status.st_size
    return sum(seen.values())
