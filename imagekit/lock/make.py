"""resolution -> lock."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import requests
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from imagekit import index, index_session
from imagekit.errors import ImpossibleWish, Surroundings
from imagekit.family import FAMILY
from imagekit.lock import sources, standin, uv
from imagekit.lock.model import Lock, Package, Tool, needs
from imagekit.lock.sources import Archive
from imagekit.resolution import Resolution, Want
from imagekit.site import Site, tomllib
from imagekit.wheels import Store


def make(
    resolution: Resolution,
    site: Site,
    store: Store,
    *,
    hidden: tuple[Want, ...] = (),
    holds: tuple[Want, ...] = (),
    archives: tuple[Archive, ...] = (),
    previous: Lock | None = None,
    upgrade: bool = False,
    upgrade_packages: tuple[str, ...] = (),
) -> Lock:
    """Resolve, and pin every artefact.

    `hidden` and `holds` are what the facts add and hold, `archives` what was found for the git sources. Versions of
    `previous` are kept while they fit, unless told to upgrade.

    Raises ImpossibleWish (no versions fit, or only a source with no recipe), Surroundings (an index does not answer).
    """
    fresh = {canonicalize_name(name) for name in upgrade_packages}
    old = {} if upgrade or previous is None else {p.name: p.version for p in previous.packages if p.kind != "standin"}
    prefer = {name: version for name, version in old.items() if name not in fresh}
    wants, held = (*resolution.wants, *hidden), (*resolution.constraints, *holds)
    asked, resolution = resolution, sources.told(resolution, archives)
    sources.check(wants, archives)
    with ThreadPoolExecutor() as pool:  # each of these waits for uv and for the index, not for the others
        tools = pool.submit(_tools, [f"uv=={_uv_version()}"], resolution, site)
        found = [*_resolve(resolution, site, wants, held, prefer), *map(sources.resolved, archives)]
        _check_wins(resolution, [entry.name for entry in found])
        checked = pool.submit(_check_replacements, resolution, site, wants, found)
        packages = _packages(resolution, site, found, hidden)
        checked.result()
    sdists = {
        package.name: entry.sdist for package, entry in zip(packages, found, strict=True) if package.kind == "sdist"
    }
    build_requires = {}
    for name, sdist in sdists.items():
        assert sdist is not None
        owner = site.route(name) or "pypi"
        path = store.add(sdist.name, sdist.sha256, lambda url=sdist.url, owner=owner: index.get(site, owner, url))  # type: ignore[misc]
        more = [line for source in resolution.sources if source.package == name for line in source.build_requires]
        beside = _beside(name, packages, resolution)
        more += [line for build in resolution.builds if build.package == name for line in build.build_requires]
        found_tools = _tools([*_build_requires(path), *more], resolution, site, beside)
        build_requires[name] = tuple(tool for tool in found_tools if tool.name not in beside)
    packages = [sources.row(package, archives) for package in packages]
    packages += [_standin(a, b, packages, store) for a, b in sorted(resolution.replace.items())]
    return Lock(
        created=date.today().isoformat(),
        resolution=asked,
        hidden=hidden,
        packages=tuple(sorted(packages, key=lambda package: package.name)),
        tools=tools.result(),
        build_requires=build_requires,
    )


def _uv_version() -> str:
    from importlib.metadata import version

    return version("uv")


def _resolve(
    resolution: Resolution, site: Site, asked: tuple[Want, ...], holds: tuple[Want, ...], prefer: dict[str, str]
) -> list[uv.Resolved]:
    """Wheels and the packages that have a recipe, resolved apart: the first from wheels only, the second from source.

    uv binds an index to direct requirements only, so a routed name that came in through another package is made a
    direct one, and everything is resolved again: a name that belongs to a private index never comes from another.
    """
    recipes = {build.package: build for build in resolution.builds}
    from_git = {source.package for source in resolution.sources}
    built = tuple(_routed(want, site) for want in asked if _name(want) in recipes.keys() - from_git)
    wants = tuple(_routed(want, site) for want in asked if _name(want) not in recipes)
    needed = (
        Want(requirement=line, why=build.package, index=_torch_index(line, resolution))
        for build in resolution.builds
        for line in build.requires
    )
    wants += tuple(_routed(want, site) for want in needed if _name(want) not in recipes)
    constraints = tuple(hold.requirement for hold in holds)
    excludes = (*resolution.replace, *recipes)
    with ThreadPoolExecutor() as pool:
        source = pool.submit(uv.compile, built, constraints, (), prefer, resolution, site, sources=True)
        while True:
            found = uv.compile(wants, constraints, excludes, prefer, resolution, site)
            direct = {_name(want) for want in wants}
            strays = [entry for entry in found if entry.name not in direct and site.route(entry.name)]
            if not strays:
                return [*found, *source.result()]
            wants += tuple(
                Want(requirement=s.name, why=", ".join(s.needed_by), index=site.route(s.name)) for s in strays
            )


def _torch_index(line: str, resolution: Resolution) -> str:
    """What is built with torch comes from torch's index."""
    return resolution.torch_index if canonicalize_name(Requirement(line).name) in FAMILY else "pypi"


def _name(want: Want) -> str:
    return canonicalize_name(Requirement(want.requirement).name)


def _routed(want: Want, site: Site) -> Want:
    owner = site.route(Requirement(want.requirement).name)
    return want.model_copy(update={"index": owner}) if owner else want


def _packages(resolution: Resolution, site: Site, found: list[uv.Resolved], hidden: tuple[Want, ...]) -> list[Package]:
    asked = (*hidden, *resolution.wants)
    direct = {_name(want): want for want in asked}
    chosen = []
    unusable = []
    for entry in found:
        wheel = _best(entry.wheels, resolution)
        recipe = any(
            build.package == entry.name and SpecifierSet(build.versions).contains(entry.version, prereleases=True)
            for build in resolution.builds
        )
        file = wheel or entry.sdist
        if file is None or (wheel is None and not recipe):
            unusable.append(
                f"{entry.name} {entry.version}: no wheel for Python {resolution.python}, glibc {resolution.glibc}"
            )
            continue
        want = direct.get(entry.name)
        source = site.route(entry.name) or (want.index if want else "pypi")
        why = (want.why,) if want else ()
        chosen.append((entry, file, Package(
            name=entry.name, version=entry.version, kind="wheel" if wheel else "sdist", file=file.name,
            sha256=file.sha256, index=source, needed_by=(*why, *entry.needed_by),
        )))  # fmt: skip
    if unusable:
        known = ", ".join(build.package for build in resolution.builds) or "nothing"
        raise ImpossibleWish(
            "some packages have only a source distribution",
            details=unusable,
            hint=f"built from source is what has a recipe (here: {known}); pin a version that has a wheel",
        )
    with index_session.session() as session, ThreadPoolExecutor(8) as pool:
        facts = list(
            pool.map(lambda item: _size_and_hash(item[1], site, item[2].index, resolution.variant, session), chosen)
        )
    return [
        package.model_copy(update={"size": size, "sha256": sha256})
        for (_, _, package), (size, sha256) in zip(chosen, facts, strict=True)
    ]


def _best(wheels: tuple[uv.File, ...], resolution: Resolution) -> uv.File | None:
    """The wheel an installer in the image would take: the first tag of the image's Python and glibc that has one."""
    major, minor = (int(part) for part in resolution.python.split("."))
    g_major, g_minor = (int(part) for part in resolution.glibc.split("."))
    legacy = {(2, 17): "manylinux2014_x86_64", (2, 12): "manylinux2010_x86_64", (2, 5): "manylinux1_x86_64"}
    platforms = []
    for below in range(g_minor, 4, -1):
        platforms.append(f"manylinux_{g_major}_{below}_x86_64")
        platforms += [legacy[g_major, below]] if (g_major, below) in legacy else []
    platforms.append("linux_x86_64")
    interpreter = f"cp{major}{minor}"
    tags = [
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), interpreter, platforms),
    ]
    rank = {tag: place for place, tag in reversed(list(enumerate(tags)))}
    best: tuple[int, uv.File] | None = None
    for wheel in wheels:
        places = [rank[tag] for tag in parse_wheel_filename(wheel.name)[3] if tag in rank]
        if places and (best is None or min(places) < best[0]):
            best = (min(places), wheel)
    return best[1] if best else None


def _size_and_hash(file: uv.File, site: Site, name: str, variant: str, session: requests.Session) -> tuple[int, str]:
    if file.url.startswith("file:"):
        content = index.get(site, name, file.url)
        return len(content), file.sha256 or hashlib.sha256(content).hexdigest()
    if not file.sha256:
        raise Surroundings(
            f"the index gives no sha256 for {file.name}", hint="use an index that serves hashes (PEP 503)"
        )
    return index.size(site, name, file.url, variant, session), file.sha256


def _build_requires(sdist: Path) -> list[str]:
    """[build-system] requires of a source distribution (PEP 518); setuptools where it says nothing."""
    import tarfile

    with tarfile.open(sdist) as archive:
        for member in archive:
            if fnmatch.fnmatch(member.name, "*/pyproject.toml") and member.name.count("/") == 1:
                file = archive.extractfile(member)
                assert file is not None
                raw = tomllib.loads(file.read().decode())
                requires = raw.get("build-system", {}).get("requires", ["setuptools"])
                return sorted({*requires, "wheel"})
    return ["setuptools", "wheel"]


def _beside(name: str, packages: list[Package], resolution: Resolution) -> dict[str, str]:
    """What is installed in the stage that builds a package besides its tools: torch, where its ops are compiled."""
    compiles = any(build.package == name and build.ops for build in resolution.builds)
    return {row.name: row.version for row in needs(packages, "torch")} if compiles else {}


def _tools(requires: list[str], resolution: Resolution, site: Site, beside: Mapping[str, str] = {}) -> tuple[Tool, ...]:
    """`beside`: what is there already, which the tools have to go with."""
    bare = resolution.model_copy(update={"builds": (), "sources": (), "replace": {}})
    holds = tuple(Want(requirement=f"{name}=={version}", why="build") for name, version in beside.items())
    found = _resolve(bare, site, tuple(Want(requirement=line, why="build") for line in requires), holds, {})
    result = []
    for entry in found:
        wheel = _best(entry.wheels, resolution)
        if wheel is None:
            raise ImpossibleWish(f"{entry.name} {entry.version}, which a build requires, has no usable wheel")
        result.append(Tool(name=entry.name, version=entry.version, hashes=(wheel.sha256,)))
    return tuple(result)


def _check_replacements(resolution: Resolution, site: Site, wants: tuple[Want, ...], found: list[uv.Resolved]) -> None:
    """The stand-in's version must satisfy whoever asks for the original. uv resolved without those requirements, so
    it is asked once more: with everything pinned as found, does the original fit at the stand-in's version?"""
    for name, by in resolution.replace.items():
        replacement = next((entry for entry in found if entry.name == by), None)
        if replacement is None:
            raise ImpossibleWish(
                f"replace: {name} is to be replaced by {by}, which is not among the packages",
                hint=f"add {by} to packages",
            )
        recipes = {build.package for build in resolution.builds}
        pins = [f"{entry.name}=={entry.version}" for entry in found if entry.name not in recipes]
        version = standin.version_of(replacement.version)
        asked = tuple(_routed(want, site) for want in wants if _name(want) not in recipes)
        others = tuple(other for other in resolution.replace if other != name)
        try:
            uv.compile(asked, (*pins, f"{name}=={version}"), (*others, *recipes), {}, resolution, site)
        except ImpossibleWish as refused:
            raise ImpossibleWish(
                f"replace: {by} {replacement.version} stands in for {name} {version}, which does not satisfy its users",
                details=refused.details,
                hint=f"pin another version of {by}, or of the package that asks for {name}",
            ) from None


def _check_wins(resolution: Resolution, found: Collection[str]) -> None:
    unknown = [name for name in resolution.wins if name not in found]
    if unknown:
        raise ImpossibleWish(f"wins: {', '.join(unknown)} is not among the packages", hint="add it to packages")


def _standin(name: str, by: str, packages: list[Package], store: Store) -> Package:
    package = next(package for package in packages if package.name == canonicalize_name(by))
    file, content = standin.wheel(name, package.name, package.version)
    sha256 = hashlib.sha256(content).hexdigest()
    store.add(file, sha256, lambda: content)
    return Package(
        name=canonicalize_name(name), version=str(Version(standin.version_of(package.version))), kind="standin",
        file=file, sha256=sha256, size=len(content), needed_by=(f"replace by {package.name}",),
    )  # fmt: skip
