"""What is done with a file in many places: its hash, and writing it whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

PIECE = 2**20


def sha256(path: Path) -> str:
    """Of its content, hexadecimal; read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """All or nothing: who reads it sees the old file or the new one, and an interrupted write leaves the old.

    Its folder is made where there is none. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
