"""gzip members whose bytes are a pure function of their input: no compressor decides anything here.

A gzip file is any number of members one after the other (RFC 1952, 2.2), so a layer can be put together of members:
tar headers encoded by `encoded`, and the deflate streams of a wheel's files as they are in the wheel, between
`HEAD` and a `tail`.
Bytes that a compressor makes depend on its version and build; these do not, except for those of `packed`.
"""

from __future__ import annotations

import re
import struct
import zlib
from functools import cache

from isal import isal_zlib

HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, no extra flags, system unknown."""

STORED = 65535
"""Bytes that one stored block holds at most (RFC 1951, 3.2.4)."""

_RUNS = re.compile(rb"\x00{4,}")
_REVERSED = [int(f"{byte:08b}"[::-1], 2) for byte in range(256)]
_LITERALS = bytes(_REVERSED[0x30 + byte] if byte < 144 else 0 for byte in range(256))
"""The fixed Huffman codes of bytes below 144 have eight bits each (RFC 1951, 3.2.6), packed from the other end."""
_HIGH = re.compile(rb"[\x90-\xff]")


def tail(crc: int, size: int) -> bytes:
    """What ends a member: CRC-32 of what it holds, and its size modulo 2**32."""
    return struct.pack("<II", crc, size & 0xFFFFFFFF)


def encoded(data: bytes) -> bytes:
    """A member with `data`: runs of zeros are shortened, as headers of tar are full of them, and nothing else is."""
    body = _plain(data) if _HIGH.search(data) else _fixed(data)
    return HEAD + body + tail(zlib.crc32(data), len(data))


LEVEL = 3
"""Of ISA-L's three: nine times as fast as zlib's 6, and a tenth larger."""


def packed(data: bytes, level: int = LEVEL) -> bytes:
    """A member compressed by ISA-L: small, and other bytes where ISA-L is another one."""
    packer = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    return HEAD + packer.compress(data) + packer.flush() + tail(zlib.crc32(data), len(data))


def stored_blocks(data: bytes, last: bool) -> bytes:
    """`data` as stored blocks of a deflate stream; `last`: the stream ends with them."""
    pieces = []
    for start in range(0, max(len(data), 1), STORED):
        piece = data[start : start + STORED]
        final = last and start + STORED >= len(data)
        pieces += [struct.pack("<BHH", final, len(piece), len(piece) ^ 0xFFFF), piece]
    return b"".join(pieces)


def _plain(data: bytes) -> bytes:
    return stored_blocks(data, last=True)


def _fixed(data: bytes) -> bytes:
    """One block with fixed codes. `data` has bytes below 144 only."""
    bits, count = 0b011, 3  # the last block, fixed codes
    place = 0
    for run in _RUNS.finditer(data):
        start, end = run.span()
        bits |= int.from_bytes(data[place:start].translate(_LITERALS), "little") << count
        count += 8 * (start - place)
        code, length = _zeros(end - start)
        bits |= code << count
        count += length
        place = end
    bits |= int.from_bytes(data[place:].translate(_LITERALS), "little") << count
    count += 8 * (len(data) - place) + 7  # and the end of the block: seven zero bits
    return bits.to_bytes((count + 7) // 8, "little")


@cache
def _zeros(run: int) -> tuple[int, int]:
    """(bits, how many) of a run of zeros: one of them, then copies of what is one byte back. `run` is 4 or more."""
    bits, count, left = _LITERALS[0], 8, run - 1
    while left:
        length = min(left, 258)
        if 0 < left - length < 3:  # a copy has three bytes at least
            length -= 3
        code, size = _length(length)
        bits |= code << count
        count += size + 5  # the distance: code 0 of five bits is one byte back
        left -= length
    return bits, count


@cache
def _length(length: int) -> tuple[int, int]:
    """(bits, how many) of the fixed code of a copy's length, 3 to 258 (RFC 1951, 3.2.5)."""
    if length == 258:
        symbol, extra, rest = 285, 0, 0
    else:
        symbol, extra, base = 257, 0, 3
        while length >= base + (1 << extra):
            base += 1 << extra
            symbol += 1
            extra = max(0, (symbol - 261) // 4)
        rest = length - base
    code, size = (symbol - 256, 7) if symbol < 280 else (0xC0 + symbol - 280, 8)
    return int(f"{code:0{size}b}"[::-1], 2) | rest << size, size + extra
