"""The system part of a composed image: one layer of distribution packages, made without an engine.

mmdebstrap makes it, as root or as anybody who may have user namespaces. It is kept by the names of its packages for a
day: Debian moves, and what moved is drift, told by the record.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from imagekit import bootstrap, contract, scratch
from imagekit.compose import altered, bases, staged, tree
from imagekit.contract import File
from imagekit.errors import Surroundings
from imagekit.files import sha256, write
from imagekit.lock.model import Lock
from imagekit.oci import gzip_member, stack
from imagekit.oci.archive import PIECE
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept, Made
from imagekit.oci.layer import FORMAT, Layer
from imagekit.plan import system_packages
from imagekit.site import Site

FRESH = 24 * 3600
"""Seconds for which the packages of a distribution are taken to be the newest."""

UNUSED = 7 * 24 * 3600
"""Seconds after which the root of a system goes."""

_HOOKS = (
    'mkdir -p "$1/opt/imagekit/record"',
    'chroot "$1" dpkg-query -W -f \'${Package}=${Version}\\n\' >"$1/opt/imagekit/record/system.txt"',
    'rm -rf "$1"/var/cache/debconf/*-old "$1/var/cache/ldconfig/aux-cache" "$1"/var/cache/fontconfig/*',
    'rm -f "$1"/etc/ssh/ssh_host_*',
    *(f'mkdir -p "$1/{place}" && chmod 2775 "$1/{place}"' for place in contract.SHARED),
)


@dataclass(frozen=True)
class System:
    layers: tuple[Stacked, ...]
    """The lowest first; one, where it is made from packages only."""
    packages: dict[str, str]
    """Name -> version of each distribution package."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of the configuration of an image that it stands on."""
    labels: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    """As Configuration has it."""

    @property
    def id(self) -> str:
        """What its files are, as a digest: of the tar, where there is one layer."""
        digests = [one.layer.diff_id for one in self.layers]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def make(
    lock: Lock, files: Mapping[str, File], site: Site, shelf: Kept, say: Callable[[str, str], None], *,
    newest: bool = False, more: Iterable[str] = (),
) -> System:  # fmt: skip
    """The system part of the image; `files`: of the context; `newest`: also where one was made not long ago.

    `more`: packages besides those of the image.

    Raises Surroundings where it cannot be made here, BuildFailed, ImpossibleWish for a base of too many layers.
    """
    r = lock.resolution
    own = tuple(sorted({*system_packages(lock), *more}))
    wanted = (*r.base.packages, *own)
    if r.base.kind == "distro" and not (r.apt_sources or r.trust):
        made = of_packages(r.base.name, wanted, site, shelf, say, newest=newest)
        return replace(made, labels={contract.BASE: r.base.name})
    if r.base.kind == "distro":
        base = of_packages(r.base.name, r.base.packages, site, shelf, say, newest=newest)
        below = bases.Below(base.layers, {}, {contract.BASE: r.base.name})
    else:
        below = bases.of_image(r.base, site, shelf, say)
        stack.above(len(below.layers) + 1)  # refused before gigabytes of wheels are fetched in vain
    script = staged.system_script(lock, own, site)
    wanted_key = staged.system_key(below.layers, script, files)
    note = shelf.folder / "systems" / f"{wanted_key}.json"
    known = None if newest else _known(note, shelf)
    if known is None:
        say("system", f"{len(own)} packages and what they need, on {r.base.name}")
        # the same key may give other versions tomorrow: it is kept by what was made
        with scratch.folder("system") as place:
            made_layer = staged.system_layer(below.layers, script, files, site, Kept(place), wanted_key)
            key = f"system-{made_layer[0].diff_id}-{FORMAT}"
            layer = shelf.take(key, functools.partial(_copied, made_layer))
            known = layer, versions(layer[1], "opt/imagekit/record/system.txt")
        _write(note, key, known[1])
    told = f"imagekit: packages on {r.base.name}, {len(known[1])} distribution packages"
    return System((*below.layers, Stacked(*known[0], told)), known[1], below.env, below.labels, below.more)


def _copied(made: Made, out: IO[bytes]) -> Layer:
    with made[1].open("rb") as stream:
        shutil.copyfileobj(stream, out, PIECE)
    return made[0]


def of_packages(
    suite: str, names: Iterable[str], site: Site, shelf: Kept, say: Callable[[str, str], None], *,
    newest: bool = False, level: int = gzip_member.LEVEL,
) -> System:  # fmt: skip
    """A system with these packages and what they need. `level`: of gzip; for one that nobody is sent, the least."""
    packages = tuple(sorted(set(names)))
    wanted = json.dumps([suite, packages, _HOOKS, bootstrap.HOOKS, site.settings.apt.mirror, level, altered.PART])
    note = shelf.folder / "systems" / f"{hashlib.sha256(wanted.encode()).hexdigest()}.json"
    known = None if newest else _known(note, shelf)
    if known:
        return _one(suite, *known)
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
        with made.open("rb") as stream:
            key = f"system-{digest}-{FORMAT}-{level}"
            layer = shelf.take(key, lambda out: altered.packed(stream.read, out, level))
        found = versions(made)
    _write(note, key, found)
    return _one(suite, layer, found)


def _one(suite: str, made: Made, packages: dict[str, str]) -> System:
    return System((Stacked(*made, f"imagekit: {suite}, {len(packages)} distribution packages"),), packages)


def _write(note: Path, key: str, packages: Mapping[str, str]) -> None:
    row = {"key": key, "made": time.time(), "packages": dict(packages)}
    write(note, json.dumps(row).encode())


def _known(note: Path, shelf: Kept) -> tuple[Made, dict[str, str]] | None:
    """The one that was made not long ago, if it is still here."""
    try:
        row = json.loads(note.read_text(encoding="utf-8"))
        found = shelf.find(row["key"]) if 0 <= time.time() - row["made"] < FRESH else None
        told = {str(name): str(version) for name, version in row["packages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return (found, told) if found else None


def versions(path: Path, name: str = "./opt/imagekit/record/system.txt") -> dict[str, str]:
    """The distribution packages of a system, out of its tar or its layer; nothing where it does not tell."""
    try:
        with tarfile.open(path) as archive:
            file = archive.extractfile(name)
            text = file.read().decode() if file else ""
    except (KeyError, ValueError, OSError, EOFError, zlib.error, tarfile.TarError):
        return {}
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def trim(shelf: Kept) -> None:
    """Remove roots and notes that nobody has used for `UNUSED`: systems move with their distribution."""
    for place in (*shelf.folder.glob("roots/*"), *shelf.folder.glob("systems/*.json")):
        with contextlib.suppress(FileNotFoundError):  # another build is at it
            if time.time() - place.stat().st_mtime > UNUSED:
                shelf.drop(place) if place.is_dir() else place.unlink()


def unpacked(system: System, shelf: Kept) -> Path:
    """The root of a system as a folder, to run its interpreter in. It is kept beside the layers."""
    root = shelf.folder / "roots" / system.id
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        with scratch.folder("root") as place:
            target = place / "root"
            target.mkdir()
            for one in system.layers:
                tree.extract(one, target, keep_owners=False)
            try:
                target.rename(root)
            except OSError:
                if not root.is_dir():
                    raise
                shutil.rmtree(target, ignore_errors=True)
    os.utime(root)
    return root
