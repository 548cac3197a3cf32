"""compose -> prove -> outputs: from a lock to an image, with no engine anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from imagekit import (
    amounts,
    bootstrap,
    caches,
    compose,
    fetch,
    files,
    pipeline,
    record,
    scope,
    tag,
    wheels,
    without_engine,
)
from imagekit import report as reports
from imagekit.compose import Wheel, room, source, system
from imagekit.compose.outputs import Output, Outputs
from imagekit.compose.system import System
from imagekit.errors import NotProven
from imagekit.lock.model import Lock, Package
from imagekit.locking import Say
from imagekit.oci.archive import content, members
from imagekit.oci.image import Image, Stacked
from imagekit.oci.kept import Kept, kept
from imagekit.plan import group_of
from imagekit.profile import Profile
from imagekit.proof import runner
from imagekit.record import Record
from imagekit.render import Context
from imagekit.site import Site

AT_ONCE = 0.3
"""Seconds within which it shows that something is missing here: long before gigabytes are fetched in vain."""


@dataclass(frozen=True)
class Done:
    image: Image
    names: tag.Names
    record: Record
    report: reports.Report | None
    seconds: float


def build(
    profile: Profile, lock: Lock, site: Site, wanted: Sequence[Output], say: Say, *, prove: bool, wish: runner.Wish
) -> Done:
    """Compose, prove, write. An image that is not proven is not written. Raises NotProven, BuildFailed, Surroundings.

    Layers of packages are on their way into a registry before: nothing points to them.
    """
    started = time.monotonic()
    profile_tag = tag.names(lock, site.settings.tags, "0" * 64, "0" * 8).profile
    shelf = kept()
    caches.prune(site.settings.build.cache_gb * caches.GB)
    system.trim(shelf)
    with pipeline.build_lock(profile_tag, say), shelf.in_use(), Outputs(wanted, site, shelf.folder, say) as places:
        context = pipeline.rendered(profile, lock, dialect="classic")
        base, rows = _inputs(context, lock, site, shelf, say, places.layer)
        tag.check(lock, _told(rows, lock.resolution.python, shelf))
        image = compose.compose(context, base, rows, shelf, site, made=places.layer)
        say(
            "compose",
            f"{len(image.layers)} layers, {amounts.size(image.size)}, {amounts.size(image.unpacked)} unpacked",
        )
        new = recorded(lock, image, base, site, context.plan.key, scope.of(context, base.id))
        for line in record.drift(new):
            say("drift", line)
        names = tag.names(lock, site.settings.tags, new.key, new.created)
        known = "" if wish.fresh else known_as(image)
        report = proven(image, replace(wish, scope=new.scope), say) if prove and not known else None
        if not prove:
            say("prove", "not run (--no-test)")
        elif known:
            say("prove", f"the very same image was proven on {known}; --fresh proves it again")
        new = new.model_copy(update={"proven": known or (pipeline.today() if report else "")})
        places.write(image, names)
        record.save(new)
    return Done(image, names, new, report, time.monotonic() - started)


def _inputs(
    context: Context, lock: Lock, site: Site, shelf: Kept, say: Say, made: Callable[[Stacked], None]
) -> tuple[System, list[Wheel]]:
    """The system and the wheels, at the same time: one waits for the CPU, the other for an index.

    Large wheels become layers as soon as they are here, while packages are built from source: `made` is told of them.
    """
    sources = [package for package in lock.packages if package.kind == "sdist"]
    with ThreadPoolExecutor(1 + len(sources)) as pool, ThreadPoolExecutor(os.cpu_count() or 1) as converting:
        base = pool.submit(system.make, lock, context.files, site, shelf, say)

        def around_it(package: Package) -> System:
            if source.on_the_image(lock, package):
                base.result()  # what both need is made once
            return source.around_it(context, lock, package, site, shelf, say)

        def begin(wheel: Wheel) -> None:
            if wheel.size >= compose.BIG:
                begun.append(converting.submit(compose.ahead, wheel, lock.resolution.python, shelf, made))

        around = {row.name: pool.submit(around_it, row) for row in sources}
        begun: list[Future[None]] = []
        try:
            for known in wait((base, *around.values()), AT_ONCE).done:  # what cannot be made here is no news later
                known.result()
            rows = _wheels(context, lock, site, lambda package: around[package.name].result(), begin, say)
            for conversion in begun:
                conversion.result()
            return base.result(), rows
        except BaseException:  # Ctrl-C reaches this thread only
            shelf.stop.set()
            bootstrap.stop_all()
            room.stop_all()
            pool.shutdown(wait=True, cancel_futures=True)
            converting.shutdown(wait=True, cancel_futures=True)
            raise


def _wheels(
    context: Context, lock: Lock, site: Site, around: Callable[[Package], System], here: Callable[[Wheel], None],
    say: Say,
) -> list[Wheel]:  # fmt: skip
    """Every wheel of the image as a file: from the store, fetched, made, or built from its source in `around` it.

    `here` is told of each that came as a wheel, before anything is built.
    """
    store, wins = wheels.store(), lock.resolution.wins

    def fetched(folder: str) -> dict[str, Path]:
        here = {path: package for path, package in context.wheels.items() if path.startswith(f"{folder}/")}
        tools = {place: found for place, found in context.tools.items() if place == folder}
        placed = fetch.into(store, here, tools, lock, site, lambda text: say("fetch", text))
        return {path: store.path(package.file, package.sha256) for path, package in placed.items()}

    def row(package: Package, digest: str, path: Path) -> Wheel:
        return Wheel(package.name, package.version, group_of(package, wins), digest, path)

    fetched("wheels")
    found = {}
    for package in sorted(lock.packages, key=lambda package: -package.size):
        path = store.path(package.file, package.sha256)
        if package.kind == "standin":
            content = context.files[f"wheels/{group_of(package, wins)}/{package.file}"].content
            store.fill(package.file, package.sha256, lambda out, content=content: out.write(content))  # type: ignore[misc]
        if package.kind != "sdist":
            found[package.name] = row(package, package.sha256, path)
            here(found[package.name])
    for package in lock.packages:
        if package.kind == "sdist":
            path, digest = source.wheel(context, lock, package, around(package), store, say, fetched)
            found[package.name] = row(package, digest, path)
    return [found[package.name] for package in lock.packages]


def _told(found: list[Wheel], python: str, shelf: Kept) -> tag.Found:
    """What torch itself says, for tags that do not lie; remembered by the hash of its wheel."""
    torch = next(wheel for wheel in found if wheel.name == "torch")
    note = shelf.folder / compose.MEMO / f"told-{torch.sha256}"
    try:
        text = note.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = content(next(file for file in members(torch.path) if file.name == "torch/version.py")).decode()
        files.write(note, text.encode())
    said = dict(re.findall(r"^(\w+)(?:: [^=]+)? *= *['\"]([^'\"]*)['\"]", text, re.MULTILINE))
    return tag.Found(said.get("__version__", ""), said.get("cuda", ""), python)


def proven(image: Image, wish: runner.Wish, say: Say) -> reports.Report:
    """Raises NotProven."""
    report = without_engine.of_image(image, image.id, wish, say)
    for line in reports.summary(report):
        say("", line)
    if not report.proven:
        details = [*reports.failures(report), "", "no image was written"]
        raise NotProven("the image is not proven", details=details, hint="--no-test writes it as it is")
    return report


def known_as(image: Image) -> str:
    """The day, yyyymmdd, of an earlier proof of this image on this machine: its id is the hash of all that is in it."""
    return max((kept.proven for kept in record.of_image(image.id)), default="")


def recorded(lock: Lock, image: Image, base: System, site: Site, plan: str, scope: str) -> Record:
    """`plan`: what was to be made, as a digest; `scope`: what it is made from besides its packages."""
    r, today = lock.resolution, pipeline.today()
    key = hashlib.sha256(json.dumps([plan, image.digest]).encode()).hexdigest()
    profile_tag = tag.names(lock, site.settings.tags, key, today).profile
    first = next((old.created for old in record.all_of(profile_tag) if old.key == key), today)
    return Record(
        tag=profile_tag, key=key, created=first, image=image.id, lock=lock.digest, base=base.id,
        torch=r.torch, cuda=r.cuda, python=r.python, system=base.packages, built={}, scope=scope,
        packages={package.name: package.version for package in lock.packages}, trust=r.trust,
    )  # fmt: skip
