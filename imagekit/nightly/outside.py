"""What the world outside has moved: distribution packages, files of package indexes, images that are stood on.

Each thing is asked once for all cells. What does not answer is said, and is no reason to make anything.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from imagekit import bootstrap, index, remote
from imagekit.bootstrap import Offered
from imagekit.compose import bases
from imagekit.errors import Error, ImpossibleWish
from imagekit.lock import uv
from imagekit.lock.model import Lock, Package
from imagekit.oci import reference as references
from imagekit.plan import system_packages
from imagekit.report import some
from imagekit.site import Site

T = TypeVar("T")
K = TypeVar("K")

AT_ONCE = 8
"""Pages that are asked for at once."""

System = tuple[str, tuple[str, ...]]
"""Suite, packages that are asked for."""

Page = tuple[str, str, str]
"""Index, variant, package."""


@dataclass(frozen=True)
class Outside:
    offered: Mapping[System, dict[str, Offered]] = field(default_factory=dict)
    """Suite and packages that are asked for -> distribution package -> what its archives have now."""
    files: Mapping[Page, dict[str, bool]] = field(default_factory=dict)
    """Page of an index -> file on it -> whether it is yanked."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """Reference of an image that is stood on -> the digest that its tag has now."""
    unknown: tuple[str, ...] = ()
    """What did not answer, a line each."""

    def drift(self, lock: Lock, system: Mapping[str, str]) -> dict[str, Offered]:
        """Distribution packages that an image has in another version than its archives; `system`: those it has."""
        asked = _asked_for(lock)
        now = self.offered.get(asked, {}) if asked else {}
        differ = {name: row for name, row in now.items() if name in system and system[name] != row.version}
        return {name: row for name, row in differ.items() if is_newer(row.version, system[name])}

    def gone(self, lock: Lock) -> dict[str, str]:
        """Locked packages whose file was yanked or is no longer on its page -> which of the two."""
        found = {}
        for package in lock.packages:
            page = self.files.get(_page(package, lock))
            if page is not None and page.get(package.file, True):
                found[package.name] = "yanked" if package.file in page else "gone from its index"
        return found

    def base(self, lock: Lock) -> str:
        """The digest that the image below has now, where it is another one than was locked."""
        base = lock.resolution.base
        now = self.bases.get(base.name, "") if base.kind == "image" else ""
        return now if now != base.digest else ""


def look(locks: Sequence[Lock], site: Site) -> Outside:
    """`locks`: of the images as they are. Raises nothing but Interrupted."""
    wanted = {asked for lock in locks if (asked := _asked_for(lock))}
    pages = {_page(package, lock) for lock in locks for package in lock.packages if package.index}
    images = {lock.resolution.base.name for lock in locks if lock.resolution.base.digest}
    if not site.default_index:  # uv knows it, and nobody else
        site = replace(site, default_index=uv.default_index(site))
    unknown: dict[str, list[str]] = {}
    threads = ThreadPoolExecutor(AT_ONCE)

    def ask(what: str, question: Callable[..., T], *arguments: Any) -> Future[T | None]:
        return threads.submit(_asked, unknown, what, question, *arguments)

    try:
        systems = {one: ask(one[0], bootstrap.offered, one[0], list(one[1]), site) for one in sorted(wanted)}
        listed = {page: ask(f"{page[2]} of {page[0]}", _files, page, site) for page in sorted(pages)}
        digests = {name: ask(name, _digest, name, site) for name in sorted(images)}
        return Outside(_came(systems), _came(listed), _came(digests), tuple(_told(unknown)))
    except BaseException:  # Ctrl-C reaches this thread only
        bootstrap.stop_all()
        raise
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _asked_for(lock: Lock) -> System | None:
    """What of a system the distribution's own archives can be asked for: not what only an overlay's archive has."""
    r = lock.resolution
    if r.base.kind != "distro":
        return None
    own = () if r.apt_sources else system_packages(lock)
    return r.base.name, tuple(sorted({*r.base.packages, *own}))


def is_newer(one: str, other: str) -> bool:
    """Of two versions of a distribution package. dpkg knows; without it any other version is taken to be newer."""
    try:
        call = ["dpkg", "--compare-versions", one, "gt", other]
        return subprocess.run(call, capture_output=True, check=False).returncode == 0
    except OSError:
        return True


def _told(unknown: Mapping[str, list[str]]) -> list[str]:
    """`unknown`: what went wrong -> what was asked."""
    return [f"{message}: {some(sorted(what))}" for message, what in sorted(unknown.items())]


def _asked(unknown: dict[str, list[str]], what: str, question: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return question(*arguments)
    except Error as error:
        unknown.setdefault(error.message, []).append(what)
        return None


def _came(asked: Mapping[K, Future[T | None]]) -> dict[K, T]:
    return {name: answer for name, future in asked.items() if (answer := future.result()) is not None}


def _page(package: Package, lock: Lock) -> Page:
    # only the index of torch's builds has a page for each variant
    variant = lock.resolution.variant if package.index not in ("", "pypi") else ""
    return package.index, variant, package.name


def _files(page: Page, site: Site) -> dict[str, bool]:
    """Raises Surroundings; a page that is gone has no files."""
    name, variant, package = page
    try:
        return {one.name: one.yanked for one in index.files(site, name, variant, package)}
    except ImpossibleWish:
        return {}


def _digest(name: str, site: Site) -> str:
    reference = references.parse(bases.with_host(name))
    return remote.repository(reference, site).digest_of(reference.tag or "latest")
