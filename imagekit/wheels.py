"""The wheel store: files by sha256, verified when they come in, safe for several builds at once.

<cache>/wheels/<first two of sha256>/<sha256>/<file name>. Nothing is ever changed in place: a file is written beside
its place and renamed, so a killed download leaves nothing that a later build could take for a wheel.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from imagekit import files, scratch
from imagekit.errors import BuildFailed, Surroundings


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file: str, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256 / file

    def has(self, file: str, sha256: str) -> bool:
        return self.path(file, sha256).is_file()

    def add(self, file: str, sha256: str, content: Callable[[], bytes]) -> Path:
        """The path of a file, made by `content` unless it is there. Raises Surroundings when the bytes are others."""
        return self.fill(file, sha256, lambda out: out.write(content()))

    def fill(self, file: str, sha256: str, write: Callable[[IO[bytes]], object]) -> Path:
        """As `add`, for files of any size: `write` writes them in pieces."""
        path = self.path(file, sha256)
        if path.is_file():
            os.utime(path)
            return path
        name = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "w+b") as out:
                write(out)
                out.seek(0)
                _verify(file, sha256, out)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except OSError as error:
            raise Surroundings(f"the wheel store {self.folder} cannot be written: {error.strerror}") from None
        finally:
            if name:
                Path(name).unlink(missing_ok=True)
        return path

    def find(self, sha256: str) -> Path | None:
        """The file of that hash, whatever it is called."""
        return next(iter(sorted((self.folder / sha256[:2] / sha256).glob("*.[wtz]*"))), None)


@contextlib.contextmanager
def unharmed(wheels: Mapping[Path, str]) -> Iterator[None]:
    """What refuses some files of the store is believed only where they are what was locked. `wheels`: path -> sha256.

    Raises Surroundings in place of BuildFailed where some were damaged since; they are removed, so that the next build
    gets them again.
    """
    try:
        yield
    except BuildFailed:
        damaged = [path for path, sha256 in wheels.items() if not _whole(path, sha256)]
        if not damaged:
            raise
        for path in damaged:
            path.unlink(missing_ok=True)
        raise Surroundings(
            f"damaged in the wheel store: {', '.join(sorted(path.name for path in damaged))}",
            details=[f"no longer sha256:{wheels[path]}" for path in sorted(damaged)],
            hint="removed: build again, and they are got again; is the disk failing?",
        ) from None


def _whole(path: Path, sha256: str) -> bool:
    try:
        return files.sha256(path) == sha256
    except FileNotFoundError:  # another thread has met it before
        return False


def _verify(file: str, sha256: str, content: IO[bytes]) -> None:
    digest = hashlib.sha256()
    while block := content.read(1 << 20):
        digest.update(block)
    if digest.hexdigest() != sha256:
        raise Surroundings(
            f"hash mismatch: {file}",
            details=[f"locked    sha256:{sha256}", f"received  sha256:{digest.hexdigest()}"],
            hint="the index gives other bytes than when it was locked; if that is intended, lock again",
        )


def store() -> Store:
    """This user's."""
    return Store(scratch.cache() / "wheels")
