"""compose -> prove -> outputs: from a lock to an image, with no engine anywhere."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from imagekit import amounts, caches, compose, files, gathered, pipeline, record, scope, tag, without_engine
from imagekit import report as reports
from imagekit.bundle import Bundle, Held, unpack
from imagekit.compose import Wheel, system
from imagekit.compose.outputs import Output, Outputs
from imagekit.compose.system import System
from imagekit.errors import NotProven
from imagekit.lock.model import Lock
from imagekit.locking import Say
from imagekit.oci.archive import content, members
from imagekit.oci.image import Image
from imagekit.oci.kept import Kept, kept
from imagekit.oci.layer import FORMAT
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.plan import Plan
from imagekit.profile import Profile
from imagekit.proof import evidence, runner
from imagekit.record import Record
from imagekit.site import Site
from imagekit.supply import beside, contents
from imagekit.supply.contents import Contents


@dataclass(frozen=True)
class Done:
    image: Image
    reference: str
    """How whoever takes it names it (compose.outputs)."""
    names: tag.Names
    record: Record
    report: reports.Report | None
    seconds: float


def build(
    profile: Profile, lock: Lock, site: Site, wanted: Sequence[Output], say: Say, *, prove: bool, wish: runner.Wish,
    pyc: bool = True, newest: bool = False, held: tuple[Bundle, Held] | None = None,
) -> Done:  # fmt: skip
    """Compose, prove, write. An image that is not proven is not written. Raises NotProven, BuildFailed, Surroundings.

    Layers of packages are on their way into a registry before: nothing points to them. `pyc`: with their bytecode;
    `newest`: with the distribution packages of this moment, also where some were got not long ago; `held`: the bundle
    that it is all in, and where, for a machine without a network.
    """
    started = time.monotonic()
    profile_tag = tag.of_profile(lock.resolution, site.settings.tags)
    shelf = kept()
    caches.prune(site.settings.build.cache)
    system.trim(shelf)
    with pipeline.build_lock(profile_tag, say), shelf.in_use(), Outputs(wanted, site, shelf.folder, say) as places:
        context = pipeline.rendered(profile, lock, dialect="classic", pyc=pyc)
        if held:
            found = unpack.gather(*held, context, lock, shelf, say)
        else:
            found = gathered.gather(context, lock, site, shelf, say, places.layer, newest=newest)
        base, rows = found.base, found.wheels
        tag.check(lock, _told(rows, lock.resolution.python, shelf))
        image = compose.compose(context, base, rows, shelf, site, made=places.layer)
        say(
            "compose",
            f"{len(image.layers)} layers, {amounts.size(image.size)}, {amounts.size(image.unpacked)} unpacked",
        )
        new = recorded(lock, image, base, site, context.plan.key, scope.of(context, base.id), parts(context.plan))
        for line in record.drift(new):
            say("drift", line)
        names = tag.names(lock.resolution, site.settings.tags, new.key, new.created)
        known = "" if wish.fresh else known_as(image)
        report = proven(image, replace(wish, scope=new.scope), say) if prove and not known else None
        if not prove:
            say("prove", "not run (--no-test)")
        elif known:
            say("prove", f"the very same image was proven on {known}; --fresh proves it again")
        new = new.model_copy(update={"proven": known or (pipeline.today() if report else "")})
        reference = places.write(image, names, functools.partial(_beside, image, lock, new, base, rows, site, say))
        record.save(new)
    return Done(image, reference, names, new, report, time.monotonic() - started)


def _beside(
    image: Image, lock: Lock, new: Record, base: System, rows: list[Wheel], site: Site, say: Say, place: Reference,
    there: Repository,
) -> None:  # fmt: skip
    licenses = Contents(contents.of_wheels(rows, kept()), *contents.of_layers(base.layers, kept()))
    beside.attach(place, there, image.digest, (lock, new), licenses, site, say)


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
    """The day, yyyymmdd, of an earlier proof of this image on this machine: its id is the hash of all that is in it.

    Empty where something has failed since.
    """
    since = max((kept.proven for kept in record.of_image(image.id)), default="")
    return "" if reports.failing([kept.report for kept in evidence.of(image.id)]) else since


def parts(plan: Plan) -> dict[str, str]:
    """What is to be made, part by part; the same again is the same image, but for distribution packages."""
    return {**plan.parts, "layers": str(FORMAT)}


def recorded(
    lock: Lock, image: Image, base: System, site: Site, plan: str, scope: str, made_of: Mapping[str, str]
) -> Record:  # fmt: skip
    """`plan`: what was to be made, as a digest; `scope`: what it is made from besides its packages; `made_of`: as
    `parts` has it."""
    r, today = lock.resolution, pipeline.today()
    key = hashlib.sha256(json.dumps([plan, image.digest]).encode()).hexdigest()
    profile_tag = tag.of_profile(r, site.settings.tags)
    first = next((old.created for old in record.all_of(profile_tag) if old.key == key), today)
    return Record(
        tag=profile_tag, key=key, created=first, image=image.id, lock=lock.digest, base=base.id,
        torch=r.torch, cuda=r.cuda, python=r.python, system=base.packages, built={}, scope=scope,
        packages={package.name: package.version for package in lock.packages}, trust=r.trust, parts=dict(made_of),
    )  # fmt: skip
