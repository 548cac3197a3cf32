"""The packages of an image with their licences: out of its wheels and the layer of its system, or out of an engine."""

from __future__ import annotations

import functools
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

from imagekit import wheels
from imagekit.compose import MEMO, Wheel
from imagekit.files import write
from imagekit.lock.model import Lock
from imagekit.oci.archive import content, members
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept
from imagekit.supply.licenses import License, of_debian, of_wheel

COPYRIGHT = "usr/share/doc/"

RULES = 2
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
print(json.dumps({'wheels': wheels, 'rights': rights}))
"""
"""For an image in an engine: the headers of METADATA by dist-info, and copyright files by package."""


@dataclass(frozen=True)
class Licenses:
    python: Mapping[str, License] = field(default_factory=dict)
    """Normalised name -> licence."""
    system: Mapping[str, License] = field(default_factory=dict)
    """Distribution package -> licence, of those that have a copyright file which machines read."""


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


def of_layers(layers: Iterable[Stacked], shelf: Kept) -> dict[str, License]:
    """By distribution package, of those layers of a system that are here; remembered too."""
    found: dict[str, License] = {}
    for one in layers:
        if one.path.is_file():
            found |= _remembered(shelf, one.layer.diff_id, functools.partial(of_system, one.path))
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


def of_system(path: Path) -> dict[str, License]:
    """By package, out of the tar or the layer of a system; nothing of one that cannot be read."""
    found, links = dict[str, License](), dict[str, str]()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                place, _, name = member.name.removeprefix("./").removeprefix(COPYRIGHT).partition("/")
                if not member.name.removeprefix("./").startswith(COPYRIGHT):
                    continue
                if member.issym() and not name:  # libstdc++6 -> gcc-12-base
                    links[place] = member.linkname.rstrip("/").rpartition("/")[2]
                elif member.isreg() and name == "copyright":
                    file = archive.extractfile(member)
                    found[place] = of_debian(file.read().decode(errors="replace") if file else "")
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return {}
    return found | {name: found[other] for name, other in links.items() if other in found}


def told(stdout: str) -> Licenses:
    """What SCRIPT printed in an image."""
    try:
        row = json.loads(stdout)
        python = {_name(text): of_wheel(text) for text in row["wheels"].values()}
        return Licenses(python, {name: of_debian(text) for name, text in row["rights"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Licenses()


def _name(metadata: str) -> str:
    from packaging.utils import canonicalize_name

    name = next((line[6:].strip() for line in metadata.splitlines() if line.startswith("Name: ")), "")
    return str(canonicalize_name(name))
