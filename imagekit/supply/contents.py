"""The packages of an image with their licences, and what those of the distribution were built from: out of its wheels
and the layers of its system, or out of an engine."""

from __future__ import annotations

import functools
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast
from zipfile import BadZipFile

from isal import igzip, isal_zlib

from imagekit import wheels
from imagekit.compose import MEMO, Wheel
from imagekit.files import write
from imagekit.lock.model import Lock
from imagekit.oci.archive import content, members
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept
from imagekit.supply.licenses import License, of_debian, of_wheel

COPYRIGHT, STATUS = "usr/share/doc/", "var/lib/dpkg/status"

RULES = 3
"""Part of the name of what is remembered: raised when the same text is another licence."""

SCRIPT = """
import glob, json
def read(path):
    try:
        return open(path, errors='replace').read()
    except OSError:
        return ''
wheels = {}
for path in glob.glob('/opt/venv/lib/python/site-packages/*.dist-info/METADATA'):
    wheels[path.split('/')[-2]] = read(path).split('\\n\\n')[0]
rights = {path.split('/')[-2]: read(path) for path in glob.glob('/usr/share/doc/*/copyright')}
print(json.dumps({'wheels': wheels, 'rights': rights, 'status': read('/var/lib/dpkg/status')}))
"""
"""For an image in an engine: the headers of METADATA by dist-info, copyright files by package, dpkg's status."""


@dataclass(frozen=True)
class Origin:
    """What a distribution package was built from, as dpkg has it (deb-control(5)): advisories are about sources."""

    architecture: str
    source: str
    version: str
    """Of the source."""


@dataclass(frozen=True)
class Contents:
    python: Mapping[str, License] = field(default_factory=dict)
    """Normalised name -> licence."""
    system: Mapping[str, License] = field(default_factory=dict)
    """Distribution package -> licence, of those that have a copyright file which machines read."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Distribution package -> its source."""


def of_wheels(found: Iterable[Wheel], shelf: Kept) -> dict[str, License]:
    """By name; remembered by hash, so that a wheel is opened once."""
    return {
        wheel.name: _remembered(shelf, wheel.sha256, functools.partial(_of_file, wheel.path)).get("", License())
        for wheel in found
    }


def of_lock(lock: Lock, shelf: Kept) -> dict[str, License]:
    """Of the locked wheels that are in this machine's store."""
    the_store = wheels.store()
    found = {}
    for package in lock.packages:
        path = the_store.path(package.file, package.sha256)
        if package.kind == "wheel" and path.is_file():
            rows = _remembered(shelf, package.sha256, functools.partial(_of_file, path))
            found[package.name] = rows.get("", License())
    return found


def of_layers(layers: Iterable[Stacked], shelf: Kept) -> tuple[dict[str, License], dict[str, Origin]]:
    """By distribution package, of those layers of a system that are here, the lowest first; remembered too."""
    licenses, origins = dict[str, License](), dict[str, Origin]()
    for one in layers:
        if one.path.is_file():
            found = _of_layer(one, shelf)
            licenses |= found.system
            origins = dict(found.origins) or origins  # the highest status is the whole one
    return licenses, origins


def _of_layer(one: Stacked, shelf: Kept) -> Contents:
    note = shelf.folder / MEMO / f"system-{RULES}-{one.layer.diff_id}"
    try:
        row = json.loads(note.read_text(encoding="utf-8"))
        licenses = {str(name): License(str(text), dict(refs)) for name, (text, refs) in row["licenses"].items()}
        return Contents({}, licenses, {str(name): Origin(*map(str, found)) for name, found in row["origins"].items()})
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        found = of_system(one.path)
    if found != Contents():  # it could be read, this time
        licenses_told = {name: [one.expression, one.refs] for name, one in found.system.items()}
        origins_told = {name: [one.architecture, one.source, one.version] for name, one in found.origins.items()}
        write(note, json.dumps({"licenses": licenses_told, "origins": origins_told}).encode())
    return found


def status(text: str) -> dict[str, Origin]:
    """By package, out of dpkg's status: `Source: gcc-12 (12.2.0-14)`, or none where it is as the package itself."""
    found = {}
    for paragraph in text.split("\n\n"):
        row = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[:1].isalpha())
        if {"Package", "Version", "Architecture"} <= row.keys():
            source, _, version = row.get("Source", row["Package"]).partition(" ")
            found[row["Package"]] = Origin(row["Architecture"], source, version.strip("() ") or row["Version"])
    return found


def _remembered(shelf: Kept, of: str, make: Callable[[], dict[str, License]]) -> dict[str, License]:
    note = shelf.folder / MEMO / f"licenses-{RULES}-{of}"
    try:
        rows = json.loads(note.read_text(encoding="utf-8"))
        return {str(name): License(str(text), dict(refs)) for name, (text, refs) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        found = make()
    if not found:  # it could not be read, this time
        return found
    write(note, json.dumps({name: [one.expression, one.refs] for name, one in found.items()}).encode())
    return found


def _of_file(path: Path) -> dict[str, License]:
    """Of a wheel, under no name."""
    try:
        file = next(file for file in members(path) if _is_metadata(file.name))
        return {"": of_wheel(content(file).decode(errors="replace").partition("\n\n")[0])}
    except (StopIteration, OSError, BadZipFile, zlib.error):
        return {}


def _is_metadata(name: str) -> bool:
    return name.endswith(".dist-info/METADATA") and name.count("/") == 1


def of_system(path: Path) -> Contents:
    """Out of the tar or the layer of a system; nothing of one that cannot be read."""
    found, links, origins = dict[str, License](), dict[str, str](), dict[str, Origin]()
    try:
        with _opened(path) as stream, tarfile.open(fileobj=stream) as archive:
            for member in archive:
                whole = member.name.removeprefix("./")
                place, _, name = whole.removeprefix(COPYRIGHT).partition("/")
                if whole == STATUS:
                    origins = status(_text(archive, member))
                elif not whole.startswith(COPYRIGHT):
                    continue
                elif member.issym() and not name:  # libstdc++6 -> gcc-12-base
                    links[place] = member.linkname.rstrip("/").rpartition("/")[2]
                elif member.isreg() and name == "copyright":
                    found[place] = of_debian(_text(archive, member))
    except (OSError, EOFError, zlib.error, tarfile.TarError, isal_zlib.IsalError):  # type: ignore[misc]  # see tree
        return Contents()
    return Contents({}, found | {name: found[other] for name, other in links.items() if other in found}, origins)


def _opened(path: Path) -> IO[bytes]:
    """Unpacked, where it is a layer: by ISA-L, which takes a third of the time."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], igzip.open(path)) if packed else path.open("rb")  # type: ignore[no-untyped-call]


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    return file.read().decode(errors="replace") if file else ""


def told(stdout: str) -> Contents:
    """What SCRIPT printed in an image."""
    try:
        row = json.loads(stdout)
        python = {_name(text): of_wheel(text) for text in row["wheels"].values()}
        rights = {name: of_debian(text) for name, text in row["rights"].items()}
        return Contents(python, rights, status(row.get("status", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Contents()


def _name(metadata: str) -> str:
    from packaging.utils import canonicalize_name

    name = next((line[6:].strip() for line in metadata.splitlines() if line.startswith("Name: ")), "")
    return str(canonicalize_name(name))
