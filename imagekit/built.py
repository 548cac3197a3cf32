"""Wheels built from source, kept by what they were made from, so that one machine builds each of them once.

The key is the digest of the source archive, the recipe with its locked requirements, the base image and the Python.
<cache>/built/<key>.json names the wheel; the wheel itself is in the wheel store, by its sha256. BuildKit takes a folder
of this machine for the stage `built-<package>` (a named context), so the Dockerfile is the same with and without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from imagekit.files import sha256, write
from imagekit.lock.model import Lock, Package
from imagekit.wheels import Store

FORMAT = 1
"""Part of every key: raised when the stage that builds gives other bytes from the same inputs."""


def sources(lock: Lock) -> list[Package]:
    return [package for package in lock.packages if package.kind == "sdist"]


def stage(package: Package) -> str:
    """The stage of the Dockerfile that holds nothing but the wheel of a package, and `built.txt`, its sha256sum."""
    return f"built-{package.name}"


def key(lock: Lock, package: Package, base_image: str) -> str:
    recipe = [build.model_dump() for build in lock.resolution.builds if build.package == package.name]
    requires = [tool.model_dump() for tool in lock.build_requires[package.name]]
    recipe += [{"version": package.version}] if package.git else []  # what the stage tells the build
    recipe += [{row.name: row.sha256} for row in lock.beside(package.name)]
    found = lock.resolution.base.found
    pip = lock.package("pip")
    inputs = [FORMAT, package.sha256, recipe, requires, pip and pip.sha256, base_image, lock.resolution.python]
    inputs += [found.id] if found else []  # a tag of this engine may name another image tomorrow
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


class Shelf:
    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store

    def take(self, lock: Lock, base_image: str, into: Path) -> dict[str, Path]:
        """Stage -> folder that stands in for it, for each source package whose wheel is here and still whole."""
        found = {}
        for package in sources(lock):
            wheel = self._find(key(lock, package, base_image))
            if wheel:
                place = into / stage(package)
                place.mkdir()
                shutil.copyfile(wheel, place / wheel.name)
                (place / "built.txt").write_text(f"{sha256(wheel)}  {wheel.name}\n")
                found[stage(package)] = place
        return found

    def find(self, lock: Lock, package: Package, base_image: str) -> tuple[Path, str] | None:
        """(path, sha256) of the wheel of a package, if it is here and whole."""
        path = self._find(key(lock, package, base_image))
        return (path, sha256(path)) if path else None

    def keep(self, lock: Lock, base_image: str, package: Package, exported: Path) -> None:
        """Take over the one wheel of an exported stage."""
        wheel = next(exported.glob("*.whl"))
        digest = sha256(wheel)
        self.store.add(wheel.name, digest, wheel.read_bytes)
        row = json.dumps({"file": wheel.name, "sha256": digest})
        write(self._path(key(lock, package, base_image)), row.encode())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _find(self, key: str) -> Path | None:
        try:
            entry = json.loads(self._path(key).read_text(encoding="utf-8"))
            wheel = self.store.path(entry["file"], entry["sha256"])
            if sha256(wheel) != entry["sha256"]:
                wheel.unlink()
                return None
            os.utime(wheel)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, trimmed or damaged: it is built again
        return wheel
