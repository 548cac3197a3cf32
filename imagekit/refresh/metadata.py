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

_TRIES = 3
"""Entries called METADATA that are looked at: a wheel has one, and one may be in all pieces."""

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
        """The one requirement of a package on Linux; None without one, and where Pythons have different ones."""
        of_it = [r for r in self.requires if canonicalize_name(r.name) == name and _holds(r)]
        return of_it[0] if len(of_it) == 1 else None

    def pin(self, pattern: str) -> str | None:
        """The one version that a package, whose normalised name is `pattern`, is pinned to (==); None without one."""
        of_it = [r for r in self.requires if re.fullmatch(pattern, canonicalize_name(r.name)) and _holds(r)]
        pins = {s.version for r in of_it for s in r.specifier if s.operator == "==" and "*" not in s.version}
        return pins.pop() if len(pins) == 1 else None


_PYTHONS = [f"3.{minor}" for minor in range(7, 20)]


def _holds(requirement: Requirement) -> bool:
    """Whether a requirement is one of Linux on x86_64 for any Python, without extras."""
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({**linux, "python_version": python, "python_full_version": f"{python}.0", "extra": ""})
        for python in _PYTHONS
    )


def read(site: Site, name: str, variant: str, package: str, wheel: Listed, own: requests.Session) -> Metadata:
    """The metadata of a wheel of `package` that the index `name` lists. Raises Unreadable, Surroundings."""
    try:
        if wheel.metadata:
            raw = index.part(site, name, f"{wheel.url}.metadata", variant, f"0-{LIMIT - 1}", own, LIMIT)
        else:
            raw = _inside(site, name, variant, wheel, own)
    except (index.NoAnswer, Unreadable):
        raise
    except Surroundings as error:  # of this file; others may be better
        raise Unreadable(f"{wheel.name}: {error.message}") from None
    fields, _ = parse_email(raw)
    return _checked(fields, name, package, wheel)


def _inside(site: Site, name: str, variant: str, wheel: Listed, own: requests.Session) -> bytes:
    def part(span: str) -> bytes:
        return index.part(site, name, wheel.url, variant, span, own, LIMIT)

    tried = 0
    for piece in _pieces(part):
        for entry in re.finditer(rb"PK\x01\x02", piece):
            head = piece[entry.start() : entry.start() + _ENTRY.size]
            if len(head) < _ENTRY.size:
                continue
            _, _, _, _, method, _, _, crc, packed, _, named, *_, offset = _ENTRY.unpack(head)
            file = piece[entry.start() + _ENTRY.size :][:named]
            if re.fullmatch(rb"[^/]+\.dist-info/METADATA", file) and packed <= _LARGEST and tried < _TRIES:
                tried += 1
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
        raise Unreadable(f"the index {name}: {wheel.name} says that it is {said[0] or 'nothing'} {said[1]}"[:200])
    try:
        python = str(SpecifierSet(fields.get("requires_python", "")))
        requires = tuple(Requirement(line) for line in fields.get("requires_dist", []))
    except (InvalidRequirement, InvalidSpecifier) as error:
        why = str(error).splitlines()[0]
        raise Unreadable(f"the index {name}: the metadata of {wheel.name} is damaged: {why}"[:200]) from None
    if "===" in python or any(requirement.url for requirement in requires):
        raise Unreadable(f"the index {name}: the metadata of {wheel.name} has a URL or an arbitrary version (===)")
    return Metadata(fields.get("version", ""), python, requires)
