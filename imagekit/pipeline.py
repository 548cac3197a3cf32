"""The order of the stages, and the only module that knows more than one of them.

profile --resolve--> resolution --lock--> lock --plan/render--> context --build--> image --prove--> report --tag-->
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from imagekit import foundation, render, resources, scratch
from imagekit import site as sites
from imagekit.compat.resolve import again, resolve
from imagekit.errors import ImpossibleWish, Surroundings, UsageError
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock, Package, dump, file_name, read, stale, write
from imagekit.profile import Profile, Wishes, load
from imagekit.resolution import Resolution, Want
from imagekit.scratch import cache
from imagekit.site import Site
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
    profile = load(name)
    r = resolution = resolve(
        profile, wishes, base_default=site.settings.base.default, base_map=site.settings.base.map,
        look=lambda reference: _look(profile, reference, say, upgrade),
    )  # fmt: skip
    say("resolve", f"torch {r.torch} + CUDA {r.cuda} ({r.variant}), Python {r.python}, {r.os}")
    for note in r.notes:
        say("", note)
    if profile.targets:
        say("", f"targets {', '.join(profile.targets)} not checked: the site names no fleet")
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
    return foundation.read(image, said.stdout)


def lock_path(profile: Profile, resolution: Resolution) -> Path:
    """In the user's folder; a built-in profile's committed lock where the user has none of its own."""
    own = Path("locks") / profile.name / file_name(resolution)
    shipped = resources.profiles() / "locks" / profile.name / file_name(resolution)
    return shipped if not profile.folder and not own.exists() and shipped.exists() else own


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
    lock = _made(resolution, site, previous, say, options)
    if previous and dump(previous.model_copy(update={"created": lock.created})) == dump(lock):
        say("lock", f"{_shown(path)}, nothing newer; unchanged since {previous.created}")
        return previous, path
    if path.is_relative_to(resources.profiles()) and resources.installed():
        path = Path("locks") / profile.name / path.name
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


def rendered(profile: Profile, lock: Lock, *, link: bool = True) -> render.Context:
    return render.context(lock, link=link, own=own_files(profile))


def own_files(profile: Profile) -> dict[str, render.File]:
    """The profile's `files`: path in the image -> content. Folders are taken whole, in sorted order."""
    result: dict[str, render.File] = {}
    problems = []
    for source, target in profile.files.items():
        path = Path(profile.folder or ".") / source
        root = Path(profile.folder or ".").resolve()
        if not path.resolve().is_relative_to(root):
            problems.append(f"files: {source}: a link that leads out of the profile's folder")
        elif path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file() and p.resolve().is_relative_to(root)):
                place = f"{target.rstrip('/')}/{file.relative_to(path).as_posix()}"
                result[place] = render.File(file.read_bytes(), 0o755 if os.access(file, os.X_OK) else 0o644)
        elif path.is_file():
            place = f"{target}{path.name}" if target.endswith("/") else target
            result[place] = render.File(path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
        else:
            problems.append(f"files: {source}: there is no {path}")
    if problems:
        raise UsageError(f"profile {profile.name} is wrong", details=problems)
    return result


def write_context(context: render.Context, folder: Path, lock: Lock, site: Site) -> None:
    """A self-contained build context; wheels that no plain `docker build` could fetch are put into it."""
    the_store = store()
    the_store.trim()
    fetch_into(the_store, list(context.wheels.values()), lock, site)
    render.write(context, folder, lambda package: the_store.path(package.file, package.sha256))


def fetch_into(the_store: Store, packages: list[Package], lock: Lock, site: Site) -> None:
    from imagekit import index

    for package in packages:
        url = site.index_url(package.index, lock.resolution.variant)
        the_store.add(
            package.file, package.sha256,
            lambda url=url, package=package: index.download(url, package.name, package.file, site.ca),  # type: ignore[misc]
        )  # fmt: skip


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
    """What a build may read and never keeps: the CA bundle, and the index where it is not the default one."""
    with scratch.folder("secrets") as folder:
        found = {"ca": Path(site.ca)} if site.ca else {}
        if site.default_index:
            pip, uv = folder / "pip.conf", folder / "uv.toml"
            pip.touch(0o600)
            uv.touch(0o600)
            pip.write_text(f"[global]\nindex-url = {site.default_index}\n")
            uv.write_text(f'[[index]]\nurl = "{site.default_index}"\ndefault = true\n')
            found |= {"pip": pip, "uv": uv}
        yield found


def today() -> str:
    return date.today().strftime("%Y%m%d")


def the_site(path: str | None) -> Site:
    return sites.load(Path(path) if path else None)


def needs_disk(lock: Lock, free: int | None) -> None:
    """Wheels unpack to about twice their size, once in a build stage and once in the image."""
    if free is None:
        return
    need = 4 * sum(package.size for package in lock.packages) + 2_000_000_000
    if free < need:
        raise Surroundings(
            f"too little disk: the engine has {free / 1e9:.1f} GB free, this build needs about {need / 1e9:.0f} GB",
            hint="docker system df shows what takes it; docker builder prune frees the build cache",
        )
