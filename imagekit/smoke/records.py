"""What an installer recorded of a distribution's files.

Read from RECORD itself: `Distribution.files` of Python 3.12 and later leaves out what is not there, and that is what
somebody looks for who looks for lost files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

PIECE = 2**20
"""Bytes read at once."""

METADATA = ("METADATA", "entry_points.txt", "WHEEL")
"""What is read of a .dist-info. Of the rest some wheels record what was never true: top_level.txt of decord 0.6.0."""


@dataclass(frozen=True)
class Recorded:
    """A line of RECORD."""

    name: str
    """As it is written there: relative to site-packages, with slashes."""
    path: Path
    algorithm: str
    digest: str
    """Urlsafe base64 without padding; empty for files that change, and for RECORD."""
    size: int | None

    @property
    def in_metadata(self) -> bool:
        return PurePosixPath(self.name).parent.name.endswith(".dist-info")


def of(distribution: Distribution) -> list[Recorded]:
    """Every file; empty for a distribution without a RECORD (not installed from a wheel)."""
    found = []
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if row and row[0]:
            algorithm, _, digest = (row[1] if len(row) > 1 else "").partition("=")
            size = int(row[2]) if len(row) > 2 and row[2].isdigit() else None
            path = Path(str(distribution.locate_file(row[0])))
            found.append(Recorded(row[0], path, algorithm, digest.rstrip("="), size))
    return found


def hashed(distribution: Distribution) -> list[Recorded]:
    """The files with a hash; bytecode has none, and no use for one: it carries that of its source."""
    found = [entry for entry in of(distribution) if entry.digest and not entry.name.endswith(".pyc")]
    return [entry for entry in found if not entry.in_metadata or PurePosixPath(entry.name).name in METADATA]


def altered(entries: Iterable[Recorded]) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of each file that is missing or is not what was recorded of it."""
    rows = list(entries)
    with ThreadPoolExecutor(2) as pool:  # hashing is done outside of the interpreter's lock
        for entry, problem in zip(rows, pool.map(_problem, rows, chunksize=64)):
            if problem:
                yield entry.name, problem


def _problem(entry: Recorded) -> str:
    try:
        digest = hashlib.new(entry.algorithm)
        with entry.path.open("rb") as stream:
            for piece in iter(partial(stream.read, PIECE), b""):
                digest.update(piece)
    except ValueError:
        return f"is recorded by {entry.algorithm}, which nobody here knows"
    except OSError as error:
        return "is gone" if isinstance(error, FileNotFoundError) else str(error.strerror)
    return "" if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() == entry.digest else "was changed"
