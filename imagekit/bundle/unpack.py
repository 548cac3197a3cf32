"""bundle -> what an image is composed of: verified, and taken into the wheel store and the layer cache.

It is copied, not used in place: the bundle may be on a disk that is carried away, and what is in the store is known.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isal import igzip

from imagekit import amounts, wheels
from imagekit.bundle import DOCUMENT, Blob, Bundle, Held
from imagekit.compose import Wheel
from imagekit.compose.system import System
from imagekit.errors import Error, Surroundings
from imagekit.files import PIECE
from imagekit.gathered import Gathered
from imagekit.lock.model import Lock, Package
from imagekit.locking import Say
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept, Made
from imagekit.oci.layer import Layer
from imagekit.plan import group_of
from imagekit.render import Context

AT_ONCE = 4
"""Files that are read at a time."""


@dataclass(frozen=True)
class _Row:
    """A wheel of the image, and the file that a bundle has for it."""

    package: Package
    file: str
    sha256: str


def gather(bundle: Bundle, held: Held, context: Context, lock: Lock, shelf: Kept, say: Say) -> Gathered:
    """As gathered.gather, out of a bundle. Raises Surroundings that names every file that is missing or damaged."""
    store, rows = wheels.store(), [_row(package, held) for package in lock.packages]
    came = [row for row in rows if row.package.kind != "standin"]
    missing = [row.file for row in came if not (store.has(row.file, row.sha256) or _there(bundle, row))]
    missing += [f"blobs/{one.digest}" for one in held.layers if not bundle.blob(one.digest).is_file()]
    if missing:
        raise _damaged(bundle, [f"{name} is not there" for name in missing])
    needed = [row for row in came if not store.has(row.file, row.sha256)]
    if needed:
        size = sum(bundle.store.path(row.file, row.sha256).stat().st_size for row in needed)
        say("fetch", f"{len(needed)} wheels, {amounts.size(size)}, out of the bundle")
    for package in (row.package for row in rows if row.package.kind == "standin"):
        content = context.files[f"wheels/{_group(package, lock)}/{package.file}"].content
        store.add(package.file, package.sha256, lambda content=content: content)  # type: ignore[misc]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        layers = [pool.submit(_layer, bundle, one, shelf) for one in held.layers]
        copied = [pool.submit(_wheel, bundle, row) for row in needed]
        errors = [future.exception() for future in layers] + [future.exception() for future in copied]
        problems = [str(error) for error in errors if isinstance(error, Error)]
        if problems:
            raise _damaged(bundle, problems)
        stacked = tuple(layer.result() for layer in layers)
        for future in copied:
            future.result()  # what is no Error
    system = System(stacked, held.packages, held.env, held.labels, held.more)
    found = [
        Wheel(row.package.name, row.package.version, _group(row.package, lock), row.sha256,
              store.path(row.file, row.sha256))
        for row in rows
    ]  # fmt: skip
    return Gathered(system, found, {})


def _row(package: Package, held: Held) -> _Row:
    if package.kind == "sdist":
        built = held.built.get(package.name)
        return _Row(package, built.file, built.sha256) if built else _Row(package, package.file, package.sha256)
    return _Row(package, package.file, package.sha256)


def _there(bundle: Bundle, row: _Row) -> bool:
    return bundle.store.has(row.file, row.sha256)


def _wheel(bundle: Bundle, row: _Row) -> None:
    try:
        stream = bundle.store.path(row.file, row.sha256).open("rb")
    except OSError as error:
        raise Surroundings(f"{row.file} cannot be read: {error.strerror}") from None
    with stream:
        wheels.store().fill(row.file, row.sha256, functools.partial(shutil.copyfileobj, stream, length=PIECE))


def _layer(bundle: Bundle, one: Blob, shelf: Kept) -> Stacked:
    layer = Layer(one.digest, one.diff_id, one.size, one.unpacked, one.files)
    return Stacked(*_kept(bundle, layer, shelf), one.told)


def _kept(bundle: Bundle, layer: Layer, shelf: Kept) -> Made:
    def write(out: IO[bytes]) -> Layer:
        path = bundle.blob(layer.digest)
        copy(path, out, layer.digest)
        if unpacked(path) != layer.diff_id:  # by which its files are kept
            raise Surroundings(f"{path.name} is not what {DOCUMENT} says of it")
        return layer

    return shelf.take(f"bundle-{layer.digest}-{layer.diff_id}", write)


def unpacked(blob: Path) -> str:
    """sha256 of the tar in a blob."""
    found = hashlib.sha256()
    with igzip.open(blob) as stream:  # type: ignore[no-untyped-call]
        while piece := stream.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def copy(path: Path, out: IO[bytes], digest: str) -> None:
    """Raises Surroundings where a file is not what its digest says."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            found.update(piece)
            out.write(piece)
    if found.hexdigest() != digest:
        raise Surroundings(f"{path.name} is not as it was written: sha256 {found.hexdigest()}")


def _group(package: Package, lock: Lock) -> str:
    return group_of(package, lock.resolution.wins)


def _damaged(bundle: Bundle, problems: list[str]) -> Surroundings:
    return Surroundings(f"the bundle {bundle.folder} is damaged", details=problems,
                        hint="copy it again, or imagekit fetch, where there is a network")  # fmt: skip
