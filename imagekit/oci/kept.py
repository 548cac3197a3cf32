"""Layers that were made before, by what they were made from.

<cache>/layers/blobs/<sha256> holds them, <cache>/layers/keys/<key>.json says which one a key stands for. A blob is
written apart and renamed when it is whole, and its key is written after it: a killed build leaves nothing that a later
one could take for a layer. A known layer is not read again: its size is compared, and its time, which is one constant
until somebody writes to it. `verify` reads all of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, cast

from imagekit import scratch
from imagekit.errors import Interrupted, Surroundings
from imagekit.files import sha256
from imagekit.oci import tar
from imagekit.oci.layer import Layer

Made = tuple[Layer, Path]
"""A layer and its blob."""


class Kept:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs, self._keys = folder / "blobs", folder / "keys"
        self.stop = threading.Event()
        """Whoever sets it ends the layers that are being written, with Interrupted."""

    def take(self, key: str, write: Callable[[IO[bytes]], Layer]) -> Made:
        """The layer of a key, written now if it is not here. Raises what `write` raises, and Surroundings."""
        return self.find(key) or self._make(key, write)

    def find(self, key: str) -> Made | None:
        path = self._keys / f"{key}.json"
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            layer = Layer(**row)
            blob = self.holds(layer.digest, layer.size)
            if blob is None:
                return None
            os.utime(path)  # used now
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return layer, blob

    def holds(self, digest: str, size: int) -> Path | None:
        """The blob of a layer, whatever it was made of, if it is here as it was written."""
        blob = self._blobs / digest
        try:
            status = blob.stat()
        except OSError:
            return None
        return blob if (status.st_size, status.st_mtime) == (size, tar.EPOCH) else None

    def _make(self, key: str, write: Callable[[IO[bytes]], Layer]) -> Made:
        with self._told(), scratch.folder("layer") as place:
            for folder in (self._blobs, self._keys):
                folder.mkdir(parents=True, exist_ok=True)
            with (place / "blob").open("wb") as out:
                layer = write(cast(IO[bytes], _Stoppable(out, self.stop)))
            blob = self._blobs / layer.digest
            (place / "blob").chmod(0o444)
            os.utime(place / "blob", (tar.EPOCH, tar.EPOCH))
            os.replace(place / "blob", blob)
            (place / "key").write_text(json.dumps(asdict(layer)), encoding="utf-8")
            os.replace(place / "key", self._keys / f"{key}.json")
        return layer, blob

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """An OSError in words: of the cache, or of a wheel that is gone."""
        try:
            yield
        except OSError as error:
            place = str(error.filename or self.folder)
            doing = "written" if place.startswith(str(scratch.cache())) and "/wheels/" not in place else "read"
            raise Surroundings(
                f"{place if doing == 'read' else self.folder} cannot be {doing}: {error.strerror}",
                hint="another imagekit removed it? Build again" if doing == "read" else "is there room on the disk?",
            ) from None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts nobody removes a layer; any number of builds at once. Raises Surroundings."""
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no build uses the layers; while this lasts none begins to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def used(self) -> dict[str, float]:
        """Digest -> when a layer was used last, seconds since the epoch; only of those that a key stands for."""
        found: dict[str, float] = {}
        for path in self._keys.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # another imagekit removed it just now
                name, when = _digest(path), path.stat().st_mtime
                found[name] = max(found.get(name, 0.0), when)
        return found

    def forget(self, *digests: str) -> None:
        """Remove layers and all keys that stand for them."""
        for path in self._keys.glob("*.json"):
            if _digest(path) in digests:
                path.unlink(missing_ok=True)
        for digest in digests:
            (self._blobs / digest).unlink(missing_ok=True)

    def verify(self) -> list[str]:
        """Read every layer; the digests of those that are damaged, which are removed."""
        bad = []
        for blob in sorted(self._blobs.glob("*")):
            with contextlib.suppress(FileNotFoundError):  # as above
                if sha256(blob) != blob.name:
                    blob.unlink()
                    bad.append(blob.name)
        return bad

    def drop(self, folder: Path) -> bool:
        """Remove a folder that is kept beside the layers; whether that was done here.

        Under its name it is whole or not there: what a killed imagekit leaves of it is in a temporary folder.
        """
        with contextlib.suppress(OSError), scratch.folder("dropped") as place:
            folder.rename(place / "folder")
            return True
        return False


class _Stoppable:
    """What a layer is written to, as long as nobody has said stop: threads cannot be interrupted."""

    def __init__(self, out: IO[bytes], stop: threading.Event) -> None:
        self._out, self._stop = out, stop

    def write(self, data: bytes) -> int:
        if self._stop.is_set():
            raise Interrupted("stopped")
        return self._out.write(data)


def _digest(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def kept() -> Kept:
    """This user's."""
    return Kept(scratch.cache() / "layers")
