"""The order of the stages, and the only module that knows more than one of them.

profile --resolve--> resolution --lock--> lock --plan/render--> context --build--> image --prove--> report --tag-->
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from imagekit import amounts, caches, foundation, locking, own_files, render, resources, scratch, wheels
from imagekit import site as sites
from imagekit.compat import fleet as fleets
from imagekit.compat import spelling
from imagekit.compat.facts import Facts
from imagekit.compat.facts import load as load_facts
from imagekit.compat.nodes import Node
from imagekit.compat.overlaid import check_lock
from imagekit.compat.resolve import resolve
from imagekit.errors import Error, Surroundings
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock, read
from imagekit.locking import Say
from imagekit.oci.kept import kept
from imagekit.profile import Profile, Wishes, load
from imagekit.resolution import Resolution
from imagekit.site import Site, apt

Look = Callable[[str], Foundation | None]
"""What an image base offers, by its reference."""


def resolved(
    name: str, wishes: Wishes, site: Site, say: Say, *, upgrade: bool = False, given: tuple[Facts, Look] | None = None
) -> tuple[Profile, Resolution]:
    """`upgrade`: an image base is asked again, instead of taken as its lock has it; `given`: what to decide by, in
    place of imagekit's own facts and of what an engine says."""
    profile = load(name, wishes.overlays)
    facts, look = given or (
        _facts(profile, wishes, site),
        lambda reference: _look(profile, reference, site, say, upgrade),
    )
    r = resolution = resolve(
        profile, wishes, base_default=site.settings.base.default, base_map=site.settings.base.map, look=look,
        nodes=fleet(site), facts=facts,
    )  # fmt: skip
    if profile.overlays and (pinned := locking.plain(profile, resolution)):
        locked_versions = {package.name: package.version for package in pinned.packages}
        place = locking.path_of(profile, locking.without_overlays(resolution))
        check_lock(profile, locked_versions, locking.shown(place))
    say("resolve", f"torch {r.torch} + CUDA {r.cuda} ({r.variant}), Python {r.python}, {r.os}")
    for note in r.notes:
        say("", note)
    return profile, resolution


def _facts(profile: Profile, wishes: Wishes, site: Site) -> Facts:
    """Those of imagekit, and where that is allowed a torch besides that they do not have."""
    asked = wishes.torch or profile.torch
    if not wishes.allow_unknown or not asked:
        return load_facts()
    from imagekit.refresh import reading  # requests, which no other question needs

    return reading.beyond(load_facts(), spelling.torch(asked)[0], site)


def fleet(site: Site) -> tuple[Node, ...]:
    return fleets.pools(site.settings.fleet, load_facts())


def targets(profile: Profile, site: Site) -> dict[str, str]:
    """The GPUs that the profile must run on: name of a pool or a GPU -> its architecture, sm_90."""
    return {node.name: node.sm for node in fleets.targets(profile, fleet(site), load_facts()) if node.sm}


def _look(profile: Profile, reference: str, site: Site, say: Say, upgrade: bool) -> Foundation | None:
    """What an image base offers: as a lock of this profile has it, else as the engine's image says, pulled if need be;
    where there is no engine, as that of its registry says.

    None where there is no such image: then its name must tell enough.
    """
    folders = [Path("locks") / profile.name, resources.profiles() / "locks" / profile.name]
    for path in [] if upgrade else sorted(path for folder in folders for path in folder.glob("*.json")):
        base = read(path).resolution.base
        if base.found and reference in (base.name, f"{base.name}@{base.digest}"):
            return base.found
    from imagekit.engines.docker_api import Engine

    engine = None
    with contextlib.suppress(Surroundings):
        engine = Engine()
    if engine is None:
        from imagekit.compose import asked  # requests, which no other question needs

        return asked.of_registry(reference, site, kept(), say)
    image = engine.image(reference)
    if image is None or (upgrade and foundation.digest_of(reference, image)):  # the registry's tag may have moved
        say("base", f"pulling {reference}")
        pulled = engine.pull(reference)
        if not pulled and image:
            say("", f"{reference} cannot be pulled; the one that is here is taken")
        image = engine.image(reference)
    if image is None:
        return None
    said = engine.run(image["Id"], ["-c", foundation.SCRIPT], entrypoint=["/bin/sh"], timeout=120, user="0")
    return foundation.read(reference, image, said.stdout)


def rendered(
    profile: Profile, lock: Lock, *, dialect: str = "buildkit", link: bool = True, pyc: bool = True
) -> render.Context:
    own = own_files.of(profile)
    own_files.check(own, lock.resolution)
    return render.context(lock, dialect=dialect, link=link, own=own, pyc=pyc)


def write_context(context: render.Context, folder: Path, lock: Lock, site: Site, say: Say = lambda *_: None) -> None:
    """A self-contained build context; files that no plain `docker build` could fetch are put into it."""
    caches.prune(site.settings.build.cache)
    the_store = wheels.store()
    with kept().in_use():  # nobody removes a wheel between its coming and its going into the context
        if context.wheels or context.tools:
            from imagekit import fetch  # requests, which no other stage needs

            placed = fetch.into(the_store, context.wheels, context.tools, lock, site, lambda text: say("fetch", text))
            context = replace(context, wheels=placed)
        render.write(context, folder, lambda package: the_store.path(package.file, package.sha256))


@contextlib.contextmanager
def build_lock(name: str, say: Say) -> Iterator[None]:
    """One build of a tag at a time on this machine; the second waits and says so."""
    with scratch.one_at_a_time(name, lambda: say("build", f"another imagekit builds {name}; waiting for it")):
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
        path = locking.path_of(profile, resolution)
        needs[name] = disk(read(path)) if path.is_file() else UNKNOWN
    if problems:
        kind = type(problems[0][1])
        lines = [line for name, error in problems for line in (f"{name}: {error.message}", *error.details)]
        raise kind("nothing was built", details=lines, hint=problems[0][1].hint)
    return needs


def disk(lock: Lock) -> int:
    """Wheels unpack to about twice their size, once in a build stage and once in the image."""
    return 4 * sum(package.size for package in lock.packages) + 2_000_000_000


def needs_disk(lock: Lock, free: int | None, wheels: int = 0) -> None:
    if free is None:
        return
    need = disk(lock) + wheels * sum(package.size for package in lock.packages)
    if free < need:
        raise Surroundings(
            f"too little disk: the engine has {amounts.size(free)} free, this build needs about {amounts.size(need)}",
            hint="docker system df shows what takes it; docker builder prune frees the build cache",
        )
