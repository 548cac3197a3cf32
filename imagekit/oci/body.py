"""What an upload sends: files and bytes that can be sent again from their beginning, and tell how far they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

Progress = Callable[[int], None]
"""Is told how many bytes more were sent; fewer again after a break."""


class Counted:
    """A body that tells how much of it was read, and takes it back when it is read again."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._told = progress, 0

    def opened(self, source: Path | bytes) -> IO[bytes]:
        self.forgotten()
        stream: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        read = stream.read

        def counted(size: int = -1) -> bytes:
            data = read(min(size, 2**20) if size and size > 0 else 2**20)
            self._told += len(data)
            self._progress(len(data))
            return data

        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        return Read(stream, counted, size)  # type: ignore[return-value]

    def forgotten(self) -> None:
        self._progress(-self._told)
        self._told = 0


class Read:
    """What requests sends piece by piece: of a known length, and it can be closed."""

    def __init__(self, stream: IO[bytes], read: Callable[[int], bytes], size: int) -> None:
        self._stream, self.read, self._size = stream, read, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(2**20), b"")

    def close(self) -> None:
        self._stream.close()


def part(source: Path, start: int, length: int) -> IO[bytes]:
    with source.open("rb") as stream:
        stream.seek(start)
        return io.BytesIO(stream.read(length))
