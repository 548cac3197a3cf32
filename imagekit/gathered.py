"""What an image without an engine is composed of: its system and its wheels, got at the same time.

One of them waits for the CPU, the other for an index. Large wheels become layers as soon as they are here, while
packages are built from source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from imagekit import bootstrap, compose, fetch, wheels
from imagekit.compose import Wheel, room, source, system
from imagekit.compose.system import System
from imagekit.lock.model import Lock, Package
from imagekit.locking import Say
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept
from imagekit.plan import group_of
from imagekit.render import Context
from imagekit.site import Site

AT_ONCE = 0.3
"""Seconds within which it shows that something is missing here: long before gigabytes are fetched in vain."""


@dataclass(frozen=True)
class Gathered:
    base: System
    wheels: list[Wheel]
    """In the order of the lock."""
    around: dict[str, System]
    """Package -> what it was built from source in."""


def gather(
    context: Context, lock: Lock, site: Site, shelf: Kept, say: Say, made: Callable[[Stacked], None] | None, *,
    newest: bool = False,
) -> Gathered:  # fmt: skip
    """The system, and every wheel as a file. `made`: is told of the layers of large ones; None: no layer is made of
    any. `newest`: of the system, as system.make has it.

    Raises Surroundings, BuildFailed, and what `made` raises.
    """
    work = _Gathering(context, lock, site, shelf, say)
    sources = [package for package in lock.packages if package.kind == "sdist"]
    with ThreadPoolExecutor(1 + len(sources)) as systems, ThreadPoolExecutor(os.cpu_count() or 1) as converting:
        base = systems.submit(system.make, lock, context.files, site, shelf, say, newest=newest)
        around = {package.name: systems.submit(work.around, package, base) for package in sources}
        try:
            for known in wait((base, *around.values()), AT_ONCE).done:  # what cannot be made here is no news later
                known.result()
            found = work.as_they_came()
            large = sorted((one for one in found.values() if one.size >= compose.BIG), key=lambda one: -one.size)
            rest = lock.resolution.python, shelf
            begun = [converting.submit(compose.ahead, one, *rest, made) for one in large] if made else []
            for package in sources:
                found[package.name] = work.from_source(package, around[package.name].result())
            for layer in begun:
                layer.result()
            built_in = {name: system.result() for name, system in around.items()}
            return Gathered(base.result(), [found[package.name] for package in lock.packages], built_in)
        except BaseException:  # Ctrl-C reaches this thread only
            shelf.stop.set()
            bootstrap.stop_all()
            room.stop_all()
            systems.shutdown(wait=True, cancel_futures=True)
            converting.shutdown(wait=True, cancel_futures=True)
            raise


class _Gathering:
    """What each step needs to know."""

    def __init__(self, context: Context, lock: Lock, site: Site, shelf: Kept, say: Say) -> None:
        self._context, self._lock, self._site, self._shelf, self._say = context, lock, site, shelf, say
        self._store = wheels.store()

    def around(self, package: Package, base: Future[System]) -> System:
        """What a package is built in; `base`: the image's, which has the packages that both need."""
        if source.on_the_image(self._lock, package):
            base.result()
        return source.around_it(self._context, self._lock, package, self._site, self._shelf, self._say)

    def as_they_came(self) -> dict[str, Wheel]:
        """By name, all that need no building: out of the store, fetched, or standing in for another."""
        self._fetched("wheels")
        found = {}
        for package in self._lock.packages:
            if package.kind == "standin":
                row = self._context.files[f"wheels/{self._group(package)}/{package.file}"]
                self._store.fill(package.file, package.sha256, lambda out, row=row: out.write(row.content))  # type: ignore[misc]
            if package.kind != "sdist":
                path = self._store.path(package.file, package.sha256)
                found[package.name] = self._wheel(package, package.sha256, path)
        return found

    def from_source(self, package: Package, around: System) -> Wheel:
        built_in = self._context, self._lock, package, around
        beside = [row for row in self._lock.beside(package.name) if row.kind == "wheel"]
        given = {self._store.path(row.file, row.sha256): row.sha256 for row in beside}

        def fetched(folder: str) -> dict[str, Path]:
            found = self._fetched(folder)
            given.update({path: path.parent.name for path in found.values()})
            return found

        with wheels.unharmed(given):
            path, digest = source.wheel(*built_in, self._store, self._say, fetched)
        return self._wheel(package, digest, path)

    def _wheel(self, package: Package, digest: str, path: Path) -> Wheel:
        return Wheel(package.name, package.version, self._group(package), digest, path)

    def _group(self, package: Package) -> str:
        return group_of(package, self._lock.resolution.wins)

    def _fetched(self, folder: str) -> dict[str, Path]:
        """Path in the context -> file of the store, of all that the context has in a folder."""
        files = {path: package for path, package in self._context.wheels.items() if path.startswith(f"{folder}/")}
        tools = {place: found for place, found in self._context.tools.items() if place == folder}
        held = fetch.into(self._store, files, tools, self._lock, self._site, lambda text: self._say("fetch", text))
        return {path: self._store.path(package.file, package.sha256) for path, package in held.items()}
