"""Git sources: the commit that a ref is, its archive in the wheel store, and what its pyproject.toml says.

A setup.py is never run here. Of a package that says its version or its requirements only there, the profile says them.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from imagekit import scratch
from imagekit.errors import Error, ImpossibleWish, Surroundings, UsageError
from imagekit.lock import git, uv
from imagekit.lock.model import Lock, Package
from imagekit.repository import is_commit
from imagekit.resolution import GitSource, Resolution, Want
from imagekit.site import Site, tomllib
from imagekit.wheels import Store


@dataclass(frozen=True)
class Archive:
    source: GitSource
    commit: str
    path: Path
    """In the wheel store."""
    sha256: str
    version: str = ""
    requires: tuple[str, ...] = ()
    """What it needs to run (PEP 508)."""


def archives(
    resolution: Resolution, previous: Lock | None, fresh: Callable[[str], bool], site: Site, store: Store,
    say: Callable[[str], None],
) -> tuple[Archive, ...]:  # fmt: skip
    """The archive of every git source. `fresh(name)`: its ref is looked up anew, where the lock would keep the commit.

    Raises UsageError that lists what every source lacks, Surroundings.
    """
    found: list[Archive] = []
    problems: list[str] = []
    for source in resolution.sources:
        old = previous.package(source.package) if previous else None
        kept = old if old and (old.git, old.ref) == (source.git, source.ref) and not fresh(source.package) else None
        try:
            archive = _of(source, kept, site, store, say)
            found.append(_read(archive, problems))
        except UsageError as error:
            problems += error.details
    if problems:
        raise UsageError(
            "sources: cannot be locked as it is", details=problems,
            hint="docs/profiles.md, git repositories; a setup.py is never run to ask it",
        )  # fmt: skip
    return tuple(found)


def restore(package: Package, site: Site, store: Store) -> None:
    """The locked archive into the store, where it is not there any more. Raises Surroundings."""
    if store.find(package.sha256) is None:
        _fetch(package.name, package.git, package.ref, package.commit, package.sha256, site, store)


def told(resolution: Resolution, archives: tuple[Archive, ...]) -> Resolution:
    """With what the archives say that their packages need."""
    requires = {archive.source.package: archive.requires for archive in archives}
    builds = (
        build.model_copy(update={"requires": requires.get(build.package, build.requires)})
        for build in resolution.builds
    )
    return resolution.model_copy(update={"builds": tuple(builds)})


def check(wants: tuple[Want, ...], archives: tuple[Archive, ...]) -> None:
    """What else is asked of the packages, which uv does not compare: it sees none of them. Raises ImpossibleWish."""
    problems = []
    versions = {archive.source.package: archive.version for archive in archives}
    for want in wants:
        asked = Requirement(want.requirement)
        name = canonicalize_name(asked.name)
        if name in versions and not asked.specifier.contains(versions[name], prereleases=True):
            problems.append(f"{want.why}: {want.requirement}, and sources: has {name} {versions[name]}")
        if name in versions and asked.extras:
            problems.append(f"{want.why}: {want.requirement}: extras of a git source go into its requires:")
    if problems:
        raise ImpossibleWish("a git source is not what is asked of its package", details=problems)


def resolved(archive: Archive) -> uv.Resolved:
    """As if uv had found it."""
    file = uv.File(archive.path.name, archive.path.as_uri(), archive.sha256)
    return uv.Resolved(archive.source.package, archive.version, (), file)


def row(package: Package, archives: tuple[Archive, ...]) -> Package:
    """The package of a lock, and where it is from if that is one of the archives."""
    for archive in archives:
        if archive.source.package == package.name:
            origin = {"git": archive.source.git, "ref": archive.source.ref, "commit": archive.commit}
            return package.model_copy(update={"index": "", **origin})
    return package


def _of(source: GitSource, kept: Package | None, site: Site, store: Store, say: Callable[[str], None]) -> Archive:
    if kept is None:
        now = git.resolve(source.git, source.ref, site)
        if now is None:
            digits = "; a commit has all its 40 digits" if set(source.ref) <= set("0123456789abcdef") else ""
            text = f"{source.package}: {source.git} has no tag or branch {source.ref}{digits}"
            raise UsageError("sources: a ref is not there", details=[text])
        path = _fetch(source.package, source.git, source.ref, now.commit, "", site, store)
        return Archive(source, now.commit, path, path.parent.name)
    if not is_commit(source.ref):
        _say_moved(source, kept, site, say)
    path = store.find(kept.sha256) or _fetch(
        source.package, source.git, source.ref, kept.commit, kept.sha256, site, store
    )
    return Archive(source, kept.commit, path, kept.sha256)


def _say_moved(source: GitSource, kept: Package, site: Site, say: Callable[[str], None]) -> None:
    """A branch moves by nature; a tag that moved may be somebody's mistake, or worse."""
    try:
        now = git.resolve(source.git, source.ref, site)
    except Surroundings as error:
        say(f"{source.package}: not asked whether {source.ref} moved: {error.message}")
        return
    if now is None:
        say(f"{source.package}: {source.git} has no {source.ref} any more; the lock keeps {kept.commit[:12]}")
    elif now.tag and now.commit != kept.commit:
        say(f"{source.package}: the tag {source.ref} moved to {now.commit[:12]}; the lock keeps {kept.commit[:12]}")


def _fetch(name: str, url: str, ref: str, commit: str, sha256: str, site: Site, store: Store) -> Path:
    """The archive of a commit into the store. `sha256`: what it was when it was locked, "" for a new one.

    Raises UsageError for a commit that cannot be built from its archive, Surroundings.
    """
    with scratch.folder("source") as folder:
        out = folder / f"{name}-{commit}.tar"
        lacks = git.archive(url, commit, f"{name}-{commit}", out, site)
        if lacks is None:
            raise _gone(name, url, ref, commit, bool(sha256), site)
        if lacks and not sha256:
            raise UsageError("sources: a repository is not whole", details=[f"{name}: {text}" for text in lacks])
        with out.open("rb") as file:
            digest = _digest(file)
        if sha256 not in ("", digest):
            raise Surroundings(
                f"{name}: the archive of {commit[:12]} has other bytes than when it was locked",
                details=[f"locked    sha256:{sha256}", f"made      sha256:{digest}"],
                hint=f"imagekit lock --upgrade-package {name} takes the archive as this machine's git makes it",
            )
        with out.open("rb") as file:
            return store.fill(out.name, digest, lambda to: shutil.copyfileobj(file, to))


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _gone(name: str, url: str, ref: str, commit: str, locked: bool, site: Site) -> Error:
    if is_commit(ref):
        return Surroundings(f"{name}: {url} has no commit {commit}", hint="name another ref in sources:")
    now = git.resolve(url, ref, site)
    is_now = f"{ref} is now {now.commit}" if now else f"it has no {ref} any more"
    what = "the locked commit" if locked else "the commit"
    return Surroundings(
        f"{name}: {what} {commit} of {ref} is no longer in the repository; {is_now}",
        hint=f"imagekit lock --upgrade-package {name}" if now else "name another ref in sources:",
    )


def _read(archive: Archive, problems: list[str]) -> Archive:
    """With version and requirements: those of the profile, else what pyproject.toml says as text (PEP 621)."""
    source = archive.source
    name = source.package
    try:
        project = _project(archive.path)
    except ValueError as error:
        problems.append(f"{name}: its pyproject.toml cannot be read: {error}")
        return archive
    own = str(project.get("name", name))
    if canonicalize_name(own) != name:
        problems.append(f"{name}: its pyproject.toml calls it {own}")
    said = str(project.get("version", ""))
    version = source.version or said
    if not version:
        problems.append(f"{name}: its version is not in a pyproject.toml: write version:")
    elif said and source.version and not _same(said, source.version):
        problems.append(f"{name}: version: {source.version}, and its pyproject.toml says {said}")
    elif not _is_version(version):
        problems.append(f"{name}: its pyproject.toml has version {version!r}, which is none (PEP 440)")
    else:
        version = str(Version(version))
    requires = source.requires
    if requires is None and project and "dependencies" not in project.get("dynamic", ()):
        lines = project.get("dependencies", [])
        requires = tuple(map(str, lines)) if isinstance(lines, list) else (str(lines),)
        problems += [
            f"{name}: its pyproject.toml asks for {line!r}, which no index has: write requires:"
            for line in requires if not _plain(line)
        ]  # fmt: skip
    if requires is None:
        problems.append(f"{name}: what it needs to run is not in a pyproject.toml: write requires:, [] for nothing")
    return replace(archive, version=version, requires=requires or ())


def _project(path: Path) -> dict[str, Any]:
    """[project] of the archive's pyproject.toml; {} where there is none. Raises ValueError."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg() and member.name.count("/") == 1 and member.name.endswith("/pyproject.toml"):
                file = archive.extractfile(member)
                assert file is not None
                table = tomllib.loads(file.read().decode()).get("project", {})
                return table if isinstance(table, dict) else {}
    return {}


def _same(one: str, other: str) -> bool:
    return _is_version(one) and _is_version(other) and Version(one) == Version(other)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _plain(line: str) -> bool:
    try:
        return not Requirement(line).url
    except InvalidRequirement:
        return False
