"""Files of a lock into the wheel store: for builders that have no secrets, and from indexes that no stage may see.

A routed index is read by its own pages. Where the files of the default index are, uv is asked: it knows that index
when nobody configured one, and everything is pinned, so it can only answer with what is locked. An archive of a git
source is made again from its repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imagekit import amounts, index
from imagekit.errors import Surroundings
from imagekit.lock import sources, uv
from imagekit.lock.model import Lock, Package, Tool
from imagekit.resolution import Want
from imagekit.site import Site
from imagekit.wheels import Store

AT_ONCE = 4
"""Downloads at a time."""


@dataclass(frozen=True)
class _Pin:
    name: str
    version: str
    hashes: tuple[str, ...]
    index: str
    file: str = ""
    """Empty for a tool: an index knows what its file is called."""


def into(
    store: Store,
    wheels: dict[str, Package],
    tools: dict[str, tuple[Tool, ...]],
    lock: Lock,
    site: Site,
    say: Callable[[str], None],
) -> dict[str, Package]:
    """Fetch what a context needs and the store lacks: path in the context -> file of the store, tools among them."""
    here = [p for p in wheels.values() if p.git]
    packages = [_Pin(p.name, p.version, (p.sha256,), p.index, p.file) for p in wheels.values() if not p.git]
    folders = {folder: [_tool(tool, site) for tool in found] for folder, found in tools.items()}
    size = sum(p.size for p in {p.sha256: p for p in wheels.values()}.values() if not store.find(p.sha256))
    lacking = any(not store.find(package.sha256) for package in here)
    if lacking or any(not _held(store, pin) for pins in (packages, *folders.values()) for pin in pins):
        say(f"Python files of the context, {amounts.size(size)}, into the wheel store")
    for package in here:
        sources.restore(package, site, store)
    for pins in (packages, *folders.values()):  # each by itself: a tool may have another version than a package
        _fetch(store, pins, lock, site)
    placed = dict(wheels)
    for folder, pins in folders.items():
        for pin in pins:
            path = _held(store, pin)
            assert path is not None
            placed[f"{folder}/{path.name}"] = Package(
                name=pin.name, version=pin.version, kind="wheel", file=path.name, sha256=path.parent.name,
                index=pin.index,
            )  # fmt: skip
    return placed


def _tool(tool: Tool, site: Site) -> _Pin:
    return _Pin(tool.name, tool.version, tool.hashes, site.route(tool.name) or "pypi")


def _held(store: Store, pin: _Pin) -> Path | None:
    return next((path for digest in pin.hashes if (path := store.find(digest))), None)


def _fetch(store: Store, pins: Iterable[_Pin], lock: Lock, site: Site) -> None:
    missing = list(dict.fromkeys(pin for pin in pins if not _held(store, pin)))
    if not missing:
        return
    asked = [pin for pin in missing if pin.index == "pypi" or not pin.file]
    wants = tuple(Want(requirement=f"{pin.name}=={pin.version}", why="locked", index=pin.index) for pin in asked)
    found = uv.compile(wants, (), (), {}, lock.resolution, site, sources=True)
    files = {file.sha256: file for entry in found for file in (*entry.wheels, entry.sdist) if file}

    def one(pin: _Pin) -> None:
        file = next((files[digest] for digest in pin.hashes if digest in files), None)
        if file is None and (pin.index == "pypi" or not pin.file):
            raise Surroundings(
                f"the index no longer has the locked file of {pin.name} {pin.version}",
                hint=f"imagekit lock --upgrade-package {pin.name}",
            )
        variant = lock.resolution.variant

        def write(out: IO[bytes]) -> None:
            source = file.url if file else index.find(site, pin.index, variant, pin.name, pin.file)
            index.download(site, pin.index, source, out, variant)

        store.fill(file.name if file else pin.file, file.sha256 if file else pin.hashes[0], write)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(one, missing):
            pass
