"""A wheel as an archive: its members by name, with the place of their compressed bytes, or why it is refused.

Whatever a wheel says of itself may be a lie; what is read here is checked against the archive, and all that is wrong
is told at once. The contents are checked where they are read (`layer`).
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from isal import isal_zlib

from imagekit.errors import BuildFailed

NAME_MOST, PATH_MOST = 255, 3800
"""Bytes of one part of a path and of a path: what Linux takes, with room for where the wheel goes."""

SMALL = 2**26
"""Bytes of metadata or of a script, at most: they are read as a whole."""

PIECE = 2**17
"""Bytes read, inflated and hashed at once: they stay in the cache of a core."""

_DAMAGED = (zipfile.BadZipFile, OSError, EOFError, struct.error)
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LINK = 0o120000


@dataclass(frozen=True)
class Member:
    """A file in a zip archive."""

    archive: Path
    name: str
    offset: int
    """Of its compressed bytes in the archive."""
    compressed: int
    size: int
    crc: int
    deflated: bool
    """False: stored as it is."""
    executable: bool


def members(path: Path) -> tuple[Member, ...]:
    """The files of a zip archive. Raises BuildFailed with all that is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            infos = [info for info in archive.infolist() if not info.orig_filename.endswith("/")]
            problems = [f"{shown(info)}: {text}" for info in archive.infolist() for text in _name(info)]
            counts = Counter(info.orig_filename for info in infos)
            problems += [f"{name!r} is in it {count} times" for name, count in counts.items() if count > 1]
            found = [(info, _start(stream, info)) for info in infos]
            problems += [f"{shown(info)}: {text}" for info, place in found for text in _form(info, place)]
            problems += _overlapping([(i, place) for i, place in found if place], archive.start_dir)
    except (*_DAMAGED, UnicodeError, ValueError, NotImplementedError) as error:
        raise refused(path, [f"it is no zip archive: {error}"]) from None
    if problems:
        raise refused(path, problems)
    return tuple(
        Member(
            path, info.orig_filename, place or 0, info.compress_size, info.file_size, info.CRC,
            info.compress_type == zipfile.ZIP_DEFLATED, bool(info.external_attr >> 16 & 0o111),
        )
        for info, place in found
    )  # fmt: skip


def content(member: Member) -> bytes:
    """All of a small member, checked. Raises BuildFailed, as for one that is too large to be what it should be."""
    if member.size > SMALL:
        raise refused(member.archive, [f"{member.name}: {member.size} bytes are too many for such a file"])
    return b"".join(pieces(member))


def sha256(member: Member) -> bytes:
    """Of a member of any size, checked. Raises BuildFailed."""
    digest = hashlib.sha256()
    for piece in pieces(member):
        digest.update(piece)
    return digest.digest()


def pieces(member: Member) -> Iterator[bytes]:
    """What a member holds, checked at its end. Raises BuildFailed."""
    inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    left, seen, crc = member.compressed, 0, 0
    with member.archive.open("rb") as stream:
        stream.seek(member.offset)
        while left and seen <= member.size:
            data = stream.read(min(left, PIECE))
            left -= len(data) or left
            for plain in inflated(member, inflater, data, PIECE) if member.deflated else (data,):
                seen, crc = seen + len(plain), isal_zlib.crc32(plain, crc)
                if seen > member.size:
                    break
                yield plain
    if seen != member.size or crc != member.crc:
        raise refused(member.archive, [f"{member.name}: its content is not what the archive's directory says"])


def inflated(member: Member, inflater: Any, data: bytes, piece: int) -> Iterator[bytes]:
    """What the next bytes of a deflate stream give, `piece` bytes at a time: a few may be gigabytes of zeros."""
    try:
        while not inflater.eof:
            plain = inflater.decompress(data, piece)
            data = inflater.unconsumed_tail
            if plain:
                yield plain
            elif not data:  # only now: what was taken in may still have more in it than was given out
                break
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub calls it no exception
        raise refused(member.archive, [f"{member.name}: {error}"]) from None


def refused(path: Path, problems: list[str]) -> BuildFailed:
    more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
    return BuildFailed(
        f"{path.name} cannot be made a layer", details=[*problems[:20], *more],
        hint="no good wheel has that: ask who made it, or choose another version",
    )  # fmt: skip


def shown(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    return repr(name if len(name) < 80 else f"{name[:60]}...{name[-15:]}")


def _name(info: zipfile.ZipInfo) -> Iterator[str]:
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if not info.flag_bits & _UTF8 and not name.isascii():
        yield "the name is not ASCII, and not marked as UTF-8"
    if info.filename != name and info.filename != name.split("\0")[0]:
        yield "an extra field gives it another name"  # Python takes it from 3.12 on
    if "\0" in name or "\\" in name:
        yield "the name has a NUL or a backslash"
    if name.startswith("/"):
        yield "the name is absolute"
    elif ".." in parts or "." in parts or "" in parts:
        yield "the name has an empty part, a `.` or a `..`"
    if any(part.startswith(".wh.") for part in parts):
        yield "in an image, a name that begins with .wh. removes a file"
    if any(len(part.encode(errors="replace")) > NAME_MOST for part in parts):
        yield f"a part of the name is longer than {NAME_MOST} bytes"
    elif len(name.encode(errors="replace")) > PATH_MOST:
        yield f"the name is longer than {PATH_MOST} bytes"
    kind = info.external_attr >> 16 & 0o170000
    if kind == _LINK or kind not in (0, 0o100000, 0o040000):
        yield "it is a symbolic link" if kind == _LINK else "it is neither a file nor a directory"


def _form(info: zipfile.ZipInfo, place: int | None) -> Iterator[str]:
    if place is None:
        yield "what the archive's directory says of it is not what stands at its place"
    if info.flag_bits & _ENCRYPTED:
        yield "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield f"it is compressed by method {info.compress_type}; a wheel has deflate or none"
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        yield "it is stored, in another size than its own"


def _start(stream: IO[bytes], info: zipfile.ZipInfo) -> int | None:
    """Where its bytes begin; None where its local header says something else than the directory."""
    stream.seek(info.header_offset)
    raw = stream.read(_LOCAL.size)
    if len(raw) < _LOCAL.size:
        return None
    magic, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack(raw)
    name = stream.read(name_size)
    same = name == info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    if magic != b"PK\x03\x04" or not same or method != info.compress_type or (flags ^ info.flag_bits) & _ENCRYPTED:
        return None
    return info.header_offset + _LOCAL.size + int(name_size) + int(extra_size)


def _overlapping(found: list[tuple[zipfile.ZipInfo, int]], end: int) -> Iterator[str]:
    """Members that share bytes: how a small archive becomes a large tree."""
    rows = sorted(found, key=lambda row: row[0].header_offset)
    ends = [info.header_offset for info, _ in rows[1:]] + [end]
    for (info, place), limit in zip(rows, ends, strict=True):
        if place + info.compress_size > limit:
            yield f"{shown(info)}: its bytes are another member's as well"
