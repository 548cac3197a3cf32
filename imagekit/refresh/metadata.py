"""METADATA of a wheel on an index without downloading the wheel: the file beside it (PEP 658), or its part of the zip.

A wheel of torch has hundreds of megabytes, and its zip directory alone more than one. `*.dist-info` is at the end of
the archive, as PEP 427 asks, or where a tool repacked it first of all, so METADATA is named at an end of the directory.
An entry found by its signature is believed when what it leads to has the CRC-32 that it tells.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from imagekit import index
from imagekit.errors import Surroundings
from imagekit.index_page import Listed
from imagekit.site import Site

LIMIT = 1_000_000
"""Bytes of one wheel that are read at most."""

_PIECE = 1 << 17
"""Bytes of the directory that are read at once: its end, then its beginning, then more of its end."""

_LARGEST = 100_000
"""Bytes of METADATA, packed. That of torch has 10 000."""

_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")


class Unreadable(Surroundings):
    """The index answers, and what it has of this wheel is of no use."""


@dataclass(frozen=True)
class Metadata:
    """What a wheel says of itself."""

    version: str
    """Local part and all: "2.9.1+cu128"."""
    requires_python: str
    requires: tuple[Requirement, ...]

    def needs(self, name: str) -> Requirement | None:
        """The requirement of a package, without those of extras."""
        of_it = [r for r in self.requires if canonicalize_name(r.name) == name]
        return next((r for r in of_it if not (r.marker and "extra" in str(r.marker))), None)

    def pin(self, pattern: str) -> str | None:
        """The version of the one exact pin (==) of a package whose normalised name is `pattern`; None without one."""
        for requirement in self.requires:
            if re.fullmatch(pattern, canonicalize_name(requirement.name)):
                pins = [s.version for s in requirement.specifier if s.operator == "=="]
                return pins[0] if len(pins) == 1 and "*" not in pins[0] else None
        return None


def read(site: Site, name: str, variant: str, package: str, wheel: Listed, own: requests.Session) -> Metadata:
    """The metadata of a wheel of `package` that the index `name` lists. Raises Unreadable, Surroundings."""
    raw = b""
    if wheel.metadata:
        raw = index.part(site, name, f"{wheel.url}.metadata", variant, f"0-{LIMIT - 1}", own, LIMIT)
    else:
        raw = _inside(site, name, variant, wheel, own)
    fields, _ = parse_email(raw)
    return _checked(fields, name, package, wheel)


def _inside(site: Site, name: str, variant: str, wheel: Listed, own: requests.Session) -> bytes:
    def part(span: str) -> bytes:
        return index.part(site, name, wheel.url, variant, span, own, LIMIT)

    for piece in _pieces(part):
        for entry in re.finditer(rb"PK\x01\x02", piece):
            head = piece[entry.start() : entry.start() + _ENTRY.size]
            if len(head) < _ENTRY.size:
                continue
            _, _, _, _, method, _, _, crc, packed, _, named, *_, offset = _ENTRY.unpack(head)
            file = piece[entry.start() + _ENTRY.size :][:named]
            if re.fullmatch(rb"[^/]+\.dist-info/METADATA", file) and packed <= _LARGEST:
                # the local header may have extra fields that the directory has not
                content = _unpacked(part(f"{offset}-{offset + _LOCAL.size + named + packed + 1000}"), packed, method)
                if zlib.crc32(content) == crc:
                    return content
    raise Unreadable(f"the index {name}: METADATA is at neither end of the directory of {wheel.name}")


def _pieces(part: Callable[[str], bytes]) -> Iterator[bytes]:
    """Of the end of a zip, where its directory is."""
    end = part(f"-{_PIECE}")
    yield end
    last = end.rfind(b"PK\x05\x06")
    if last >= 0 and len(end) >= last + _END.size:
        *_, first, _ = _END.unpack(end[last : last + _END.size])
        yield part(f"{first}-{first + _PIECE - 1}")
    yield part(f"-{4 * _PIECE}")


def _unpacked(got: bytes, packed: int, method: int) -> bytes:
    if len(got) < _LOCAL.size:
        return b""
    *_, named, extra = _LOCAL.unpack(got[: _LOCAL.size])
    content = got[_LOCAL.size + named + extra :][:packed]
    if method == 0:
        return content
    try:
        return zlib.decompressobj(-15).decompress(content, LIMIT)
    except zlib.error:
        return b""


def _checked(fields: RawMetadata, name: str, package: str, wheel: Listed) -> Metadata:
    """Nothing is believed of a wheel whose metadata is that of another one."""
    distribution, version, *_ = wheel.name.split("-")
    said = canonicalize_name(fields.get("name", "")), fields.get("version", "").replace("-", "_")
    if said != (package, version) or canonicalize_name(distribution) != package:
        raise Unreadable(f"the index {name}: {wheel.name} says that it is {said[0] or 'nothing'} {said[1]}")
    try:
        python = str(SpecifierSet(fields.get("requires_python", "")))
        requires = tuple(Requirement(line) for line in fields.get("requires_dist", []))
    except (InvalidRequirement, InvalidSpecifier) as error:
        raise Unreadable(f"the index {name}: the metadata of {wheel.name} is damaged: {error}") from None
    return Metadata(fields.get("version", ""), python, requires)
