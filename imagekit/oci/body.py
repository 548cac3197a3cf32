"""What an upload sends: files and bytes that can be sent again from their beginning, and tell how far they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

PIECE = 2**19
"""Bytes of a file that are sent at once."""

Progress = Callable[[int], None]
"""Is told how many bytes more were sent; fewer again after a break."""


class Counted:
    """A body that tells how much of it was read, and takes it back when it is read again."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._told = progress, 0

    def opened(self, source: Path | bytes) -> Pieces:
        self.forgotten()
        stream: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        return Pieces(stream, len(source) if isinstance(source, bytes) else source.stat().st_size, self._sent)

    def _sent(self, count: int) -> None:
        self._told += count
        self._progress(count)

    def forgotten(self) -> None:
        self._progress(-self._told)
        self._told = 0


class Pieces:
    """What requests sends piece by piece: of a known length, and it can be closed.

    It has no `read`, which http.client would call for 16 KB at a time.
    """

    def __init__(self, stream: IO[bytes], size: int, sent: Callable[[int], None]) -> None:
        self._stream, self._size, self._sent = stream, size, sent

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while data := self._stream.read(PIECE):
            self._sent(len(data))
            yield data

    def close(self) -> None:
        self._stream.close()


def part(source: Path, start: int, length: int) -> Pieces:
    with source.open("rb") as stream:
        stream.seek(start)
        data = stream.read(length)
    return Pieces(io.BytesIO(data), len(data), lambda _: None)
