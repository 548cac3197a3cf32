"""files -> a layer: a tar and its gzip in one pass, and the digests of both.

A wheel's files are not compressed again. What the archive holds of a file is a deflate stream; with a head, its CRC-32
and its size around it, it is a member of a gzip, and a gzip may have many. So the blob is: a member for the headers of
tar, a member with the wheel's own bytes, and so on. Each stream is read once to the end, for the digest of the tar and
because an archive may lie; by ISA-L, which inflates several times as fast as zlib, to the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isal import isal_zlib

from imagekit.oci import gzip_member, tar
from imagekit.oci.archive import PIECE, Member, inflated, refused
from imagekit.oci.installed import File

FORMAT = 2
"""Raised when the same files are to give other bytes."""

DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class Layer:
    digest: str
    """sha256 of the blob, hexadecimal."""
    diff_id: str
    """sha256 of the tar."""
    size: int
    """Bytes of the blob."""
    unpacked: int
    """Bytes of the tar."""
    files: int


class _Sink:
    """Bytes on their way into a hash, and a file: small ones are gathered first, since each call costs."""

    def __init__(self, out: IO[bytes] | None = None) -> None:
        self.hash = hashlib.sha256()
        self.size = 0
        self._out = out
        self._parts: list[bytes] = []
        self._gathered = 0

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._gathered += len(data)
        if self._gathered >= PIECE:
            self.flush()

    def flush(self) -> None:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self.hash.update(data)
        if self._out:
            self._out.write(data)
        self.size += len(data)
        self._parts, self._gathered = [], 0


def write(out: IO[bytes], entries: Iterable[tuple[tar.Entry, Member | bytes]], *, pack: bool = False) -> Layer:
    """The layer of some entries, each folder before what is in it, into `out`.

    `pack`: what is no member of an archive is compressed. Then the blob depends on ISA-L, the tar does not.

    Raises BuildFailed for an archive that lies.
    """
    blob, tarred = _Sink(out), _Sink()
    waiting = bytearray()
    """Padding and headers since the last content: one member of the gzip."""
    count = 0

    def flush(data: bytes) -> None:
        tarred.write(data)
        blob.write(gzip_member.packed(data) if pack else gzip_member.encoded(data))

    with _Archives() as archives:
        for entry, content in entries:
            waiting += tar.header(entry)
            count += entry.type == tar.FILE
            if isinstance(content, bytes):
                waiting += content + bytes(tar.padding(len(content)))
                if pack and len(waiting) >= PIECE:
                    flush(bytes(waiting))
                    waiting.clear()
            elif content.size:
                flush(bytes(waiting))
                _copy(archives.open(content.archive), content, blob, tarred)
                waiting = bytearray(tar.padding(content.size))
        flush(bytes(waiting) + tar.END)
    blob.flush()
    tarred.flush()
    return Layer(blob.hash.hexdigest(), tarred.hash.hexdigest(), blob.size, tarred.size, count)


def entries(files: Iterable[File]) -> Iterator[tuple[tar.Entry, Member | bytes]]:
    """Files by their paths, and every folder before what is in it: all layers have the same entry for a folder."""
    seen: set[str] = set()
    for file in sorted(files, key=lambda file: file.path.split("/")):
        for folder in reversed(_above(file.path)):
            if folder not in seen:
                seen.add(folder)
                yield tar.Entry(folder, tar.DIRECTORY, DIRECTORY_MODE), b""
        yield tar.Entry(file.path, tar.FILE, 0o755 if file.executable else 0o644, file.size), file.content


class _Archives:
    """Those that are open: a layer of several wheels goes back and forth between them."""

    def __init__(self) -> None:
        self._open: dict[Path, IO[bytes]] = {}

    def __enter__(self) -> _Archives:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._open.values():
            stream.close()

    def open(self, path: Path) -> IO[bytes]:
        if path not in self._open:
            self._open[path] = path.open("rb")
        return self._open[path]


def _above(path: str) -> list[str]:
    found = []
    while path := path.rpartition("/")[0]:
        found.append(path)
    return found


def _copy(archive: IO[bytes], member: Member, blob: _Sink, tarred: _Sink) -> None:
    """A member of the archive as a member of the gzip, read to its end on the way."""
    archive.seek(member.offset)
    inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    left, seen, crc = member.compressed, 0, 0
    blob.write(gzip_member.HEAD)
    piece = PIECE if member.deflated else 4 * gzip_member.STORED  # full blocks: what is read at once shows in no digest
    while left:
        if member.deflated and inflater.eof:
            raise refused(member.archive, [f"{member.name}: there is more than its compressed content"])
        data = archive.read(min(left, piece))
        if not data:
            raise refused(member.archive, [f"{member.name}: the archive ends in the middle of it"])
        left -= len(data)
        blob.write(data if member.deflated else gzip_member.stored_blocks(data, last=not left))
        for plain in inflated(member, inflater, data, PIECE) if member.deflated else (data,):
            seen += len(plain)
            crc = isal_zlib.crc32(plain, crc)
            tarred.write(plain)
            if seen > member.size:
                break
    whole = not member.deflated or (inflater.eof and not inflater.unused_data)
    if seen != member.size or crc != member.crc or not whole:
        raise refused(member.archive, [f"{member.name}: its content is not what the archive's directory says"])
    blob.write(gzip_member.tail(member.crc, member.size))
