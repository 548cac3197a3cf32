"""What a mirror must hold for the images of a bundle, as a table: for builds that fetch for themselves.

One line each, separated by tabs: kind, place, name, version, file, sha256. The kinds:

    wheel, sdist    a file of a package index; place: the index, by the name that a site gives it
    tool            a package that only building needs; any of the hashes will do
    deb             a distribution package; place: the suite
    image           an image to stand on, by its digest
    git             a commit of a repository; place: its address
"""

from __future__ import annotations

from collections.abc import Iterable

from imagekit.bundle import Held
from imagekit.lock.model import Lock

HEAD = ("kind", "place", "name", "version", "file", "sha256")

Row = tuple[str, str, str, str, str, str]


def table(images: Iterable[tuple[Held, Lock]]) -> str:
    """The same images give the same text."""
    rows: set[Row] = set()
    for held, lock in images:
        rows |= set(_packages(lock)) | set(_tools(lock)) | set(_system(held, lock))
    return "".join("\t".join(row) + "\n" for row in (HEAD, *sorted(rows)))


def _packages(lock: Lock) -> Iterable[Row]:
    for one in lock.packages:
        if one.git:
            yield "git", one.git, one.name, one.version, "", one.commit
        elif one.kind != "standin":
            yield one.kind, one.index or "pypi", one.name, one.version, one.file, one.sha256


def _tools(lock: Lock) -> Iterable[Row]:
    for tools in (lock.tools, *lock.build_requires.values()):
        for one in tools:
            yield "tool", "pypi", one.name, one.version, "", ",".join(sorted(one.hashes))


def _system(held: Held, lock: Lock) -> Iterable[Row]:
    base = lock.resolution.base
    if base.kind == "image":
        yield "image", base.name, "", "", "", base.digest
    for name, version in {**held.around, **held.packages}.items():
        yield "deb", base.name if base.kind == "distro" else "", name, version, "", ""
