"""Headers of tar, POSIX.1-2001: the bytes are a pure function of the entry, whoever writes it.

Everything in a layer belongs to root and is of one time: neither says anything about where it was made.
"""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 512
EPOCH = 1735689600
"""Seconds: 2025-01-01, the SOURCE_DATE_EPOCH of every layer and base. Not the day of the lock: a lock made a day later
would change every layer. The image's own creation time is the lock's."""

FILE, LINK, DIRECTORY = b"0", b"2", b"5"
"""Types of entries: a regular file, a symbolic link, a directory."""

END = bytes(2 * BLOCK)
"""What ends a tar."""

_MOST = 8**11
"""Sizes from here on do not fit the field."""


@dataclass(frozen=True)
class Entry:
    path: str
    """Relative to the root, with slashes, without any at either end."""
    type: bytes = FILE
    mode: int = 0o644
    size: int = 0
    link: str = ""
    """Where a symbolic link points to."""


def padding(size: int) -> int:
    """Bytes of zeros after content of a size."""
    return -size % BLOCK


def header(entry: Entry) -> bytes:
    """One block, or three and more for what does not fit one: a long or a non-ASCII name, 8 GiB and more."""
    name = entry.path + ("/" if entry.type == DIRECTORY else "")
    extra = {}
    parts = _split(name)
    if parts is None:
        extra["path"] = name
    if not entry.link.isascii() or len(entry.link) > 100:
        extra["linkpath"] = entry.link
    if entry.size >= _MOST:
        extra["size"] = str(entry.size)
    if not extra:
        prefix, short = parts or ("", "")
        return _block(short, entry.mode, entry.size, entry.type, entry.link, prefix)
    records = b"".join(_record(key, value) for key, value in sorted(extra.items()))
    size = 0 if "size" in extra else entry.size
    link = "" if "linkpath" in extra else entry.link
    prefix, short = parts or ("", "long-name")
    return b"".join([
        _block("pax-header", 0o644, len(records), b"x", "", ""), records, bytes(padding(len(records))),
        _block(short, entry.mode, size, entry.type, link, prefix),
    ])  # fmt: skip


def _split(name: str) -> tuple[str, str] | None:
    """(prefix, name) as ustar has them, at most 155 and 100 bytes; None for what fits no such pair."""
    if not name.isascii():
        return None
    if len(name) <= 100:
        return "", name
    at = name.find("/", len(name) - 101)
    if 0 < at <= 155 and len(name) - at - 1 <= 100 and at + 1 < len(name):
        return name[:at], name[at + 1 :]
    return None


def _block(name: str, mode: int, size: int, kind: bytes, link: str, prefix: str) -> bytes:
    head = b"%b%07o\x000000000\x000000000\x00%011o\x00%011o\x00" % (
        name.encode().ljust(100, b"\0"), mode, size, EPOCH,
    )  # fmt: skip
    rest = b"%b%bustar\x0000" % (kind, link.encode().ljust(100, b"\0"))
    rest += bytes(80) + prefix.encode().ljust(155, b"\0") + bytes(12)  # no names of owners, no numbers of a device
    total = sum(head) + sum(rest) + 8 * 0x20
    return b"%b%06o\0 %b" % (head, total, rest)


def _record(key: str, value: str) -> bytes:
    """`<length> key=value\\n`; the length counts its own digits."""
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body
