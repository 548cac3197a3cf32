"""A file of a package that was edited, damaged or lost after the build: the version is right, the behaviour is not, and
no other machine shows it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import Distribution, PackagePath
from pathlib import Path

from ..check import ALL, Check, Failure, Figures, Image, installed
from . import overlapping_files

PIECE = 2**20
"""Bytes read at once."""


def run(image: Image) -> Figures:
    counted, bad = 0, list[str]()
    shared = {path for path, owners in overlapping_files.owners().items() if overlapping_files.differ(owners)}
    for package in image.packages:
        found = installed(package.name)
        if found is None:
            continue  # what is not installed is told by the check `versions`
        if found.files is None:
            bad.append(f"{package.name} has no RECORD")
            continue
        wanted = [path for path in recorded(found) if str(path) not in shared]
        counted += len(wanted)
        bad += [f"{path} {problem}" for path, problem in altered(wanted)]
    if bad:
        raise Failure(
            found="; ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else ""),
            expected="every file is as its wheel had it, by the SHA-256 in RECORD",
            because="an edit, a patch in a later layer, another installation over it, or a damaged layer",
            fix="build the image again from its lock; a patched package is one of its own, with a version of its own",
        )
    return {"files": counted}


METADATA = ("METADATA", "entry_points.txt", "WHEEL")
"""What is read of a .dist-info. Of the rest some wheels record what was never true: top_level.txt of decord 0.6.0."""


def recorded(distribution: Distribution) -> list[PackagePath]:
    """The files with a hash; bytecode has none, and no use for one: it carries that of its source."""
    found = [path for path in distribution.files or () if path.hash is not None and path.suffix != ".pyc"]
    return [path for path in found if not path.parent.name.endswith(".dist-info") or path.name in METADATA]


def altered(paths: Iterable[PackagePath]) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) of each file that is missing or is not what was recorded of it."""
    rows = list(paths)
    with ThreadPoolExecutor(2) as pool:  # hashing is done outside of the interpreter's lock
        for path, problem in zip(rows, pool.map(_problem, rows, chunksize=64), strict=True):
            if problem:
                yield str(path), problem


def _problem(path: PackagePath) -> str:
    assert path.hash is not None
    digest = hashlib.new(path.hash.mode)
    try:
        with Path(str(path.locate())).open("rb") as stream:
            for piece in iter(partial(stream.read, PIECE), b""):
                digest.update(piece)
    except OSError as error:
        return "is gone" if isinstance(error, FileNotFoundError) else str(error.strerror)
    told = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return "" if told == path.hash.value.rstrip("=") else "was changed"


CHECK = Check("installed-files", "static", run, covers=(ALL,), limit=180, needs=("lock",))
