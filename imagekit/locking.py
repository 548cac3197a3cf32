"""resolution -> lock: where a lock is, whether it still answers, and making it in rounds with the facts."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit import resources, wheels
from imagekit.compat.review import again
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.lock.model import Lock, dump, file_name, folder_name, read, stale, write
from imagekit.profile import Profile
from imagekit.resolution import Resolution, Want
from imagekit.site import Site

Say = Callable[[str, str], None]
"""(stage, text): one line for people, on stderr."""


@dataclass(frozen=True)
class LockOptions:
    locked: bool = False
    """A missing or stale lock is an error."""
    frozen: bool = False
    """The lock is trusted as it is."""
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()


def own_path(resolution: Resolution) -> Path:
    """In the user's folder."""
    return Path("locks") / folder_name(resolution) / file_name(resolution)


def path_of(profile: Profile, resolution: Resolution) -> Path:
    """In the user's folder; a built-in profile's committed lock where the user has none of its own."""
    place = own_path(resolution)
    own, shipped = place, resources.profiles() / place
    return shipped if not profile.folder and not own.exists() and shipped.exists() else own


def plain(profile: Profile, resolution: Resolution) -> Lock | None:
    """The lock of the profile without its overlays, if there is one: what an overlay's own lock starts from."""
    if not profile.overlays:
        return None
    path = path_of(profile, without_overlays(resolution))
    return read(path) if path.is_file() else None


def without_overlays(resolution: Resolution) -> Resolution:
    return resolution.model_copy(update={"overlays": ()})


def _check_hashes(lock: Lock) -> None:
    """A requirements file with hashes says which files would do: a lock with another one is refused."""
    wants = [want for want in lock.resolution.wants if want.hashes]
    rows = [(want, lock.package(canonicalize_name(Requirement(want.requirement).name))) for want in wants]
    wrong = [
        f"{package.file}: sha256 {package.sha256} is not among those of {want.why}"
        for want, package in rows
        if package and package.sha256 not in want.hashes
    ]
    if wrong:
        raise ImpossibleWish(
            "the index serves other files than the requirements name", details=wrong,
            hint="make the hashes anew, for Linux and this Python, or leave them out: the lock has its own",
        )  # fmt: skip


def locked(
    profile: Profile, resolution: Resolution, site: Site, say: Say, options: LockOptions = LockOptions()
) -> tuple[Lock, Path]:
    """The lock that answers this resolution: as it is, refreshed, or made; a line says which."""
    path = path_of(profile, resolution)
    previous = read(path) if path.is_file() else None
    makes = command(profile, resolution)
    if options.frozen:
        if previous is None:
            raise UsageError(f"there is no lock {path}", hint=makes)
        say("lock", f"{shown(path)}, as it is (--frozen)")
        return previous, path
    changed = stale(previous, resolution) if previous else ""
    if previous and not changed and not options.upgrade and not options.upgrade_packages:
        say("lock", f"{shown(path)}, unchanged since {previous.created}; {len(previous.packages)} packages")
        return previous, path
    ci = os.environ.get("CI", "").lower() in ("1", "true")
    if (options.locked or (ci and previous is not None)) and not options.upgrade and not options.upgrade_packages:
        what = f"{path} is stale ({changed} changed)" if previous else f"there is no lock {path}"
        raise UsageError(what, hint=f"{makes} makes it; commit the file")
    lock = renewed(profile, resolution, site, say, previous, options)
    if previous and lock is previous:
        say("lock", f"{shown(path)}, nothing newer; unchanged since {previous.created}")
        return previous, path
    if path.is_relative_to(resources.profiles()) and resources.installed():
        path = Path("locks") / folder_name(resolution) / path.name
    write(lock, path)
    why = f"refreshed ({changed} changed)" if changed else "upgraded" if previous else "made"
    say("lock", f"{shown(path)}, {why}; {len(lock.packages)} packages")
    return lock, path


def renewed(
    profile: Profile, resolution: Resolution, site: Site, say: Say, previous: Lock | None, options: LockOptions
) -> Lock:  # fmt: skip
    """A lock that answers this resolution; `previous` itself where nothing is another thing but the day.

    It is not written. Raises ImpossibleWish, Surroundings.
    """
    lock = _made(resolution, site, previous or plain(profile, resolution), say, options)
    _check_hashes(lock)
    same = previous is not None and dump(previous.model_copy(update={"created": lock.created})) == dump(lock)
    return previous if previous is not None and same else lock


def command(profile: Profile, resolution: Resolution) -> str:
    """What makes this lock: the profile as it can be called from here, and the versions that are not its own."""
    project = Path(profile.folder) / "imagekit.yaml"
    file = Path(profile.folder) / f"{profile.name}.yaml"
    name = profile.name if not profile.folder else f"./{project if not file.is_file() else file}"
    name = name.replace(".//", "/")
    axes = ("torch", "cuda", "python")
    wished = [axis for axis in axes if getattr(profile, axis) not in (None, getattr(resolution, axis))]
    options = [f"--{axis} {getattr(resolution, axis)}" for axis in wished]
    if resolution.base.kind == "image":
        reference = "@".join(filter(None, [resolution.base.name, resolution.base.digest]))
        options += [f"--base image:{reference}"] if f"image:{reference}" != profile.base else []
    elif "python" not in wished and profile.base not in (None, f"distro:{resolution.base.name}"):
        options.append(f"--base distro:{resolution.base.name}")
    options += [f"--overlay {shlex.quote(overlay.path)}" for overlay in profile.overlays]
    given = {*profile.features, *(name for overlay in profile.overlays for name in overlay.features)}
    options += [f"--feature {name}" for name in resolution.features if name not in given]
    options += [f"--with {shlex.quote(want.requirement)}" for want in resolution.wants if want.why == "--with"]
    return " ".join(["imagekit lock", name, *options])


ROUNDS = 5
"""How often the facts may add to what uv resolved before that is a circle."""


def _made(resolution: Resolution, site: Site, previous: Lock | None, say: Say, options: LockOptions) -> Lock:
    """Resolve, then let the facts look at the versions that came out, and resolve again with what they add."""
    from imagekit.lock import make, sources  # requests, which no other stage needs: a fifth of the start-up time

    the_store = wheels.store()
    upgraded = {canonicalize_name(name) for name in options.upgrade_packages}
    archives = sources.archives(
        resolution, previous, lambda name: options.upgrade or name in upgraded, site, the_store,
        lambda text: say("", text),
    )  # fmt: skip
    hidden: dict[str, Want] = {}
    holds: dict[str, Want] = {}
    for _ in range(ROUNDS):
        lock = make.make(
            resolution, site, the_store, hidden=tuple(hidden.values()), holds=tuple(holds.values()), archives=archives,
            previous=previous, upgrade=options.upgrade, upgrade_packages=options.upgrade_packages,
        )  # fmt: skip
        view = again(resolution, {package.name: package.version for package in lock.packages})
        if view.refused:
            raise ImpossibleWish(
                "the facts refuse these versions", details=view.refused, hint="pin one of them elsewhere"
            )
        known = {want.requirement for want in (*resolution.wants, *resolution.constraints)}
        more = {need.requirement: need.want() for need in view.wants if need.requirement not in known}
        held = {need.requirement: need.want() for need in view.holds if need.requirement not in known}
        if more.keys() <= hidden.keys() and held.keys() <= holds.keys():
            for warning in view.warnings:
                if warning not in resolution.notes:  # those are said already
                    say("", warning)
            return lock
        hidden |= more
        holds |= held
    raise ImpossibleWish("the facts add requirements in a circle", details=[*hidden, *holds])


def shown(path: Path) -> str:
    try:
        return str(path.relative_to(resources.profiles().parent))
    except ValueError:
        return str(path)
