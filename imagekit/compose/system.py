"""The system part of a composed image: one layer of distribution packages, made without an engine.

mmdebstrap makes it, as root or as anybody who may have user namespaces. It is kept by the names of its packages for a
day: Debian moves, and what moved is drift, told by the record.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imagekit import bootstrap, contract, scratch
from imagekit.compose import tree
from imagekit.errors import Surroundings
from imagekit.files import sha256, write
from imagekit.lock.model import Lock
from imagekit.oci.archive import PIECE
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept, Made
from imagekit.oci.layer import Layer
from imagekit.plan import system_packages
from imagekit.site import Site

FRESH = 24 * 3600
"""Seconds for which the packages of a distribution are taken to be the newest."""

UNUSED = 7 * 24 * 3600
"""Seconds after which the root of a system goes."""

LEVEL = 6
"""Of gzip. The only layer that zlib compresses: another zlib gives another blob of the same tar."""

_HOOKS = (
    'mkdir -p "$1/opt/imagekit/record"',
    'chroot "$1" dpkg-query -W -f \'${Package}=${Version}\\n\' >"$1/opt/imagekit/record/system.txt"',
    'rm -rf "$1"/var/cache/debconf/*-old "$1/var/cache/ldconfig/aux-cache" "$1"/var/cache/fontconfig/*',
    'rm -f "$1"/etc/ssh/ssh_host_*',
    *(f'mkdir -p "$1/{place}" && chmod 2775 "$1/{place}"' for place in contract.SHARED),
)


@dataclass(frozen=True)
class System:
    stacked: Stacked
    packages: dict[str, str]
    """Name -> version of each distribution package."""


def make(lock: Lock, site: Site, shelf: Kept, say: Callable[[str, str], None]) -> System:
    """The system part of the image. Raises Surroundings where it cannot be made here."""
    base = lock.resolution.base
    if base.kind != "distro":
        raise Surroundings(
            f"the compose engine makes its system from a distribution, and the base is the image {base.name}",
            hint="--base distro:bookworm, or --engine buildkit",
        )
    if lock.resolution.apt_sources or lock.resolution.trust or lock.resolution.steps:
        raise Surroundings(
            "the compose engine has no archives, roots or steps of overlays yet", hint="--engine buildkit has"
        )
    return of_packages(base.name, {*base.packages, *system_packages(lock)}, site, shelf, say)


def of_packages(suite: str, names: Iterable[str], site: Site, shelf: Kept, say: Callable[[str, str], None]) -> System:
    """A system with these packages and what they need."""
    packages = tuple(sorted(set(names)))
    wanted = json.dumps([suite, packages, _HOOKS, bootstrap.HOOKS, site.settings.apt.mirror, LEVEL])
    note = shelf.folder / "systems" / f"{hashlib.sha256(wanted.encode()).hexdigest()}.json"
    known = _known(suite, note, shelf)
    if known:
        return known
    if not bootstrap.available():
        raise Surroundings(
            "mmdebstrap, which makes the system part without an engine, is not installed",
            hint="apt-get install mmdebstrap uidmap, or --engine buildkit",
        )
    say("system", f"{suite}: {len(packages)} packages and what they need, by mmdebstrap")
    with scratch.folder("system") as place:
        made = place / "system.tar"
        bootstrap.make(suite, packages, made, site, _HOOKS)
        digest = sha256(made)
        layer = shelf.take(f"system-{digest}", lambda out: _packed(made, out))
        versions = _versions(made)
    write(note, json.dumps({"key": f"system-{digest}", "made": time.time(), "packages": versions}).encode())
    return System(_stacked(suite, versions, layer), versions)


def _stacked(suite: str, versions: dict[str, str], made: Made) -> Stacked:
    return Stacked(*made, f"imagekit: {suite}, {len(versions)} distribution packages")


def _known(suite: str, note: Path, shelf: Kept) -> System | None:
    """The one that was made not long ago, if it is still here."""
    try:
        row = json.loads(note.read_text(encoding="utf-8"))
        found = shelf.find(row["key"]) if 0 <= time.time() - row["made"] < FRESH else None
        versions = {str(name): str(version) for name, version in row["packages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return System(_stacked(suite, versions, found), versions) if found else None


def _packed(path: Path, out: IO[bytes]) -> Layer:
    """A tar as a layer: gzip by zlib, no name and no time in its head."""
    blob, tarred, size, unpacked = hashlib.sha256(), hashlib.sha256(), 0, 0
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    with path.open("rb") as stream:
        while True:
            data = stream.read(PIECE)
            packed = packer.compress(data) if data else packer.flush()
            tarred.update(data)
            blob.update(packed)
            out.write(packed)
            size, unpacked = size + len(packed), unpacked + len(data)
            if not data:
                break
    return Layer(blob.hexdigest(), tarred.hexdigest(), size, unpacked, 0)


def _versions(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        file = archive.extractfile("./opt/imagekit/record/system.txt")
        text = file.read().decode() if file else ""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def trim(shelf: Kept) -> None:
    """Remove roots and notes that nobody has used for `UNUSED`: systems move with their distribution."""
    for place in (*shelf.folder.glob("roots/*"), *shelf.folder.glob("systems/*.json")):
        with contextlib.suppress(FileNotFoundError):  # another build is at it
            if time.time() - place.stat().st_mtime > UNUSED:
                shutil.rmtree(place) if place.is_dir() else place.unlink()


def unpacked(system: System, shelf: Kept) -> Path:
    """The root of a system as a folder, to run its interpreter in. It is kept beside the layers."""
    root = shelf.folder / "roots" / system.stacked.layer.diff_id
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        with scratch.folder("root") as place:
            target = place / "root"
            target.mkdir()
            tree.extract(system.stacked.path, target, "--no-same-owner")
            try:
                target.rename(root)
            except OSError:
                if not root.is_dir():
                    raise
                shutil.rmtree(target, ignore_errors=True)
    os.utime(root)
    return root
