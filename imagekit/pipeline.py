"""The order of the stages, and the only module that knows more than one of them.

profile --resolve--> resolution --lock--> lock --plan/render--> context --build--> image --prove--> report --tag-->
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit import foundation, own_files, render, resources, scratch
from imagekit import site as sites
from imagekit.compat.overlaid import check_lock
from imagekit.compat.resolve import again, resolve
from imagekit.errors import Error, ImpossibleWish, Surroundings, UsageError
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock, dump, file_name, folder_name, read, stale, write
from imagekit.profile import Profile, Wishes, load
from imagekit.resolution import Resolution, Want
from imagekit.scratch import cache
from imagekit.site import Site, apt
from imagekit.wheels import Store

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


def store() -> Store:
    return Store(cache() / "wheels")


def resolved(name: str, wishes: Wishes, site: Site, say: Say, *, upgrade: bool = False) -> tuple[Profile, Resolution]:
    """`upgrade`: an image base is asked again, instead of taken as its lock has it."""
    profile = load(name, wishes.overlays)
    r = resolution = resolve(
        profile, wishes, base_default=site.settings.base.default, base_map=site.settings.base.map,
        look=lambda reference: _look(profile, reference, say, upgrade),
    )  # fmt: skip
    if profile.overlays and (pinned := plain(profile, resolution)):
        locked_versions = {package.name: package.version for package in pinned.packages}
        check_lock(profile, locked_versions, _shown(lock_path(profile, _without_overlays(resolution))))
    say("resolve", f"torch {r.torch} + CUDA {r.cuda} ({r.variant}), Python {r.python}, {r.os}")
    for note in r.notes:
        say("", note)
    if profile.targets:
        why = "nothing compares them with the site's fleet yet" if site.settings.fleet else "the site names no fleet"
        say("", f"targets {', '.join(profile.targets)} not checked: {why}")
    return profile, resolution


def _look(profile: Profile, reference: str, say: Say, upgrade: bool) -> Foundation | None:
    """What an image base offers: as a lock of this profile has it, else as the engine's image says, pulled if need be.

    None where there is no engine, or no such image: then its name must tell enough.
    """
    folders = [Path("locks") / profile.name, resources.profiles() / "locks" / profile.name]
    for path in [] if upgrade else sorted(path for folder in folders for path in folder.glob("*.json")):
        base = read(path).resolution.base
        if base.found and reference in (base.name, f"{base.name}@{base.digest}"):
            return base.found
    from imagekit.engines.docker_api import Engine

    try:
        engine = Engine()
    except Surroundings:
        return None
    if engine.image(reference) is None:
        say("base", f"pulling {reference}")
        if not engine.pull(reference):
            return None
    image = engine.image(reference)
    assert image is not None
    said = engine.run(image["Id"], ["-c", foundation.SCRIPT], entrypoint=["/bin/sh"], timeout=120, user="0")
    return foundation.read(reference, image, said.stdout)


def lock_path(profile: Profile, resolution: Resolution) -> Path:
    """In the user's folder; a built-in profile's committed lock where the user has none of its own."""
    place = Path("locks") / folder_name(resolution) / file_name(resolution)
    own, shipped = place, resources.profiles() / place
    return shipped if not profile.folder and not own.exists() and shipped.exists() else own


def plain(profile: Profile, resolution: Resolution) -> Lock | None:
    """The lock of the profile without its overlays, if there is one: what an overlay's own lock starts from."""
    if not profile.overlays:
        return None
    path = lock_path(profile, _without_overlays(resolution))
    return read(path) if path.is_file() else None


def _without_overlays(resolution: Resolution) -> Resolution:
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
    path = lock_path(profile, resolution)
    previous = read(path) if path.is_file() else None
    again = _lock_command(profile, resolution)
    if options.frozen:
        if previous is None:
            raise UsageError(f"there is no lock {path}", hint=again)
        say("lock", f"{_shown(path)}, as it is (--frozen)")
        return previous, path
    changed = stale(previous, resolution) if previous else ""
    if previous and not changed and not options.upgrade and not options.upgrade_packages:
        say("lock", f"{_shown(path)}, unchanged since {previous.created}; {len(previous.packages)} packages")
        return previous, path
    ci = os.environ.get("CI", "").lower() in ("1", "true")
    if (options.locked or (ci and previous is not None)) and not options.upgrade and not options.upgrade_packages:
        what = f"{path} is stale ({changed} changed)" if previous else f"there is no lock {path}"
        raise UsageError(what, hint=f"{again} makes it; commit the file")
    lock = _made(resolution, site, previous or plain(profile, resolution), say, options)
    _check_hashes(lock)
    if previous and dump(previous.model_copy(update={"created": lock.created})) == dump(lock):
        say("lock", f"{_shown(path)}, nothing newer; unchanged since {previous.created}")
        return previous, path
    if path.is_relative_to(resources.profiles()) and resources.installed():
        path = Path("locks") / folder_name(resolution) / path.name
    write(lock, path)
    why = f"refreshed ({changed} changed)" if changed else "upgraded" if previous else "made"
    say("lock", f"{_shown(path)}, {why}; {len(lock.packages)} packages")
    return lock, path


def _lock_command(profile: Profile, resolution: Resolution) -> str:
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
    from imagekit.lock import make  # requests, which no other stage needs: a fifth of the start-up time

    hidden: dict[str, Want] = {}
    holds: dict[str, Want] = {}
    for _ in range(ROUNDS):
        lock = make.make(
            resolution, site, store(), hidden=tuple(hidden.values()), holds=tuple(holds.values()), previous=previous,
            upgrade=options.upgrade, upgrade_packages=options.upgrade_packages,
        )  # fmt: skip
        view = again(resolution, {package.name: package.version for package in lock.packages})
        if view.refused:
            raise ImpossibleWish(
                "the facts refuse these versions", details=view.refused, hint="pin one of them elsewhere"
            )
        known = {want.requirement for want in (*resolution.wants, *resolution.constraints)}
        more = {want.requirement: want for want in view.wants if want.requirement not in known}
        held = {want.requirement: want for want in view.holds if want.requirement not in known}
        if more.keys() <= hidden.keys() and held.keys() <= holds.keys():
            for warning in view.warnings:
                if warning not in resolution.notes:  # those are said already
                    say("", warning)
            return lock
        hidden |= more
        holds |= held
    raise ImpossibleWish("the facts add requirements in a circle", details=[*hidden, *holds])


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(resources.profiles().parent))
    except ValueError:
        return str(path)


def rendered(profile: Profile, lock: Lock, *, dialect: str = "buildkit", link: bool = True) -> render.Context:
    own = own_files.of(profile)
    own_files.check(own, lock.resolution)
    return render.context(lock, dialect=dialect, link=link, own=own)


def write_context(context: render.Context, folder: Path, lock: Lock, site: Site, say: Say = lambda *_: None) -> None:
    """A self-contained build context; files that no plain `docker build` could fetch are put into it."""
    the_store = store()
    the_store.trim()
    if context.wheels or context.tools:
        from imagekit import fetch  # requests, which no other stage needs

        wheels = fetch.into(the_store, context.wheels, context.tools, lock, site, lambda text: say("fetch", text))
        context = replace(context, wheels=wheels)
    render.write(context, folder, lambda package: the_store.path(package.file, package.sha256))


@contextlib.contextmanager
def build_lock(name: str, say: Say) -> Iterator[None]:
    """One build of a tag at a time on this machine; the second waits and says so. Freed even by SIGKILL."""
    folder = cache() / "building"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name.replace("/", "_").replace(":", "_")).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("build", f"another imagekit builds {name}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def secrets(site: Site) -> Iterator[dict[str, Path]]:
    """What a build may read and never keeps: the CA bundle; the index, with its login, where it is not the default one;
    the mirror of the distribution."""
    contents = {"ca": Path(site.ca).read_text(encoding="utf-8", errors="surrogateescape")} if site.ca else {}
    url = site.signed_url("pypi")
    if url:
        contents |= {"pip": f"[global]\nindex-url = {url}\n", "uv": f'[[index]]\nurl = "{url}"\ndefault = true\n'}
    if site.settings.apt.mirror:
        contents["apt"] = apt.script(site.settings.apt, bool(site.ca))
    with scratch.folder("secrets") as folder:
        for name, content in contents.items():
            (folder / name).touch(0o600)
            (folder / name).write_text(content, encoding="utf-8", errors="surrogateescape")
        yield {name: folder / name for name in contents}


def today() -> str:
    return date.today().strftime("%Y%m%d")


def the_site(path: str | None) -> Site:
    return sites.load(Path(path) if path else None)


UNKNOWN = 16_000_000_000
"""Bytes that a build without a lock is taken to need: what the largest profiles do."""


def disk_needed(names: tuple[str, ...], wishes: Wishes, site: Site) -> dict[str, int]:
    """Profile -> bytes that its build needs. Raises for every profile at once what is wrong with them."""
    needs, problems = {}, []
    for name in names:
        try:
            profile, resolution = resolved(name, wishes, site, lambda *_: None)
        except Error as error:
            problems.append((name, error))
            continue
        path = lock_path(profile, resolution)
        needs[name] = _disk(read(path)) if path.is_file() else UNKNOWN
    if problems:
        kind = type(problems[0][1])
        lines = [line for name, error in problems for line in (f"{name}: {error.message}", *error.details)]
        raise kind("nothing was built", details=lines, hint=problems[0][1].hint)
    return needs


def _disk(lock: Lock) -> int:
    """Wheels unpack to about twice their size, once in a build stage and once in the image."""
    return 4 * sum(package.size for package in lock.packages) + 2_000_000_000


def needs_disk(lock: Lock, free: int | None, wheels: int = 0) -> None:
    if free is None:
        return
    need = _disk(lock) + wheels * sum(package.size for package in lock.packages)
    if free < need:
        raise Surroundings(
            f"too little disk: the engine has {free / 1e9:.1f} GB free, this build needs about {need / 1e9:.0f} GB",
            hint="docker system df shows what takes it; docker builder prune frees the build cache",
        )
