"""image + newer distribution packages, or another base image -> image: the layers of wheels stay as they are.

A security update of the system moves the lowest layers of a composed image, and on an image as a base the layer with
its lock, so that these, a config and a manifest are all that is sent.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imagekit import amounts, caches, composed, onto, papers, pipeline, record, tag
from imagekit.compose import system
from imagekit.compose.outputs import Output, Outputs
from imagekit.compose.system import System
from imagekit.errors import UsageError
from imagekit.lock.model import Lock
from imagekit.locking import Say
from imagekit.oci import reference as references
from imagekit.oci.image import Image, digest, restacked
from imagekit.oci.kept import Kept, kept
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.proof import runner
from imagekit.pulled import pulled
from imagekit.record import Record
from imagekit.remote import LAYOUT, Remote, in_layout
from imagekit.report import Report
from imagekit.site import Site
from imagekit.supply import beside, contents
from imagekit.supply.contents import Contents

BOTTOM = re.compile(r"imagekit: \w+, \d+ distribution packages")
"""The history's line of the system of a composed image (compose.system)."""


@dataclass(frozen=True)
class Done:
    image: Image
    reference: str
    """How whoever takes it names it (compose.outputs)."""
    changed: bool
    """Whether it is another image than before."""
    tags: tuple[str, ...]
    drift: tuple[str, ...]
    """Distribution packages that moved: `libssl3 3.0.15-1 -> 3.0.17-1`; empty where the old ones are not known."""
    report: Report | None
    seconds: float


def rebase(
    remote: Remote, base: str, site: Site, wanted: Sequence[Output], say: Say, *, prove: bool, wish: runner.Wish
) -> Done:
    """`base`: distro:SUITE or image:REFERENCE, or empty for the image's own; `wanted`: empty for where the image is.

    Nothing is written of an image that is not proven. Raises UsageError for an image that was not composed, or for a
    base that offers something else; NotProven; Surroundings.
    """
    started = time.monotonic()
    shelf = kept()
    caches.prune(site.settings.build.cache)
    with pipeline.build_lock(f"rebase-{hashlib.sha256(remote.told.encode()).hexdigest()[:12]}", say), shelf.in_use():
        carried = lock_of(remote)
        remote.name = digest(remote.raw[0])  # whatever its name leads to by the time that a base is here
        lock = _onto(carried, base, remote, site, shelf, say)
        here = not prove and all(_is_there(remote, output) for output in wanted)
        old = pulled(remote, shelf, say, whole=not here)
        below = _below(old, lock)
        if not below:
            raise UsageError(
                f"{remote.told} was not composed, or somebody has built on it: its layers stand on the very base that "
                "it was built on",
                hint=f"imagekit build {lock.resolution.profile}: only what is above the system is taken from the build "
                "cache",
            )
        new = system.make(lock, {}, site, shelf, say, newest=True)
        before = _known(old, below)
        drift = tuple(record.changes(before, new.packages)) if before else ()
        for line in drift:
            say("drift" if line == drift[0] else "", line)
        was, now = ([one.layer.diff_id for one in layers] for layers in (old.layers[:below], new.layers))
        # of another base perhaps only the variables are others
        changed = was != now or lock.resolution.base.digest != carried.resolution.base.digest
        if not changed:
            say("rebase", f"its system is the newest{'' if wanted else ': nothing to do'}")
            if not wanted:
                same = f"{_same_place(remote).place}@{old.digest}"
                name = remote.told if remote.told.startswith(LAYOUT) else same
                return Done(old, name, False, (), drift, None, time.monotonic() - started)
            lock = carried  # also where its base has one more name now
        image = _restacked(old, below, lock, new, remote, shelf) if changed else old
        if changed:
            held = {one.layer.diff_id for one in old.layers}
            fresh = [one for one in image.layers if one.layer.diff_id not in held]
            size, are = amounts.size(sum(one.layer.size for one in fresh)), "is" if len(fresh) == 1 else "are"
            say("rebase", f"{len(fresh)} of {len(image.layers)} layers {are} new, {size}")
        # of its own files and the system, as their layers are
        scope = hashlib.sha256(json.dumps([new.id, image.layers[-1].layer.diff_id]).encode()).hexdigest()
        parts = _parts(old, remote) | (onto.parts(lock) if lock.resolution.base.kind == "image" else {})
        entry = composed.recorded(lock, image, new, site, f"rebase {lock.digest}", scope, parts)
        names = tag.names(lock.resolution, site.settings.tags, entry.key, entry.created)
        report = composed.proven(image, replace(wish, scope=entry.scope), say) if prove else None
        if not prove:
            say("prove", "not run (--no-test)")
        with Outputs(wanted or [_same_place(remote)], site, shelf.folder, say) as places:
            reference = places.write(image, names, functools.partial(_beside, image, lock, entry, new, site, say))
        record.save(entry.model_copy(update={"proven": pipeline.today() if report else ""}))
    return Done(image, reference, changed, (*names.moving, names.immutable), drift, report, time.monotonic() - started)


def _onto(lock: Lock, base: str, remote: Remote, site: Site, shelf: Kept, say: Say) -> Lock:
    """The lock of what comes out. Raises UsageError for what is not put onto another base."""
    r = lock.resolution
    if r.apt_sources or r.trust or r.steps:
        raise UsageError(
            f"{remote.told} stands on more than packages of {r.base.name}: what an overlay brings",
            hint=f"imagekit build {r.profile}, with its overlays: archives, roots and steps are run again",
        )
    if r.base.kind == "image" and (not base or base.startswith("image:")):
        return onto.another(lock, base, site, shelf, say)
    if base and base != f"{r.base.kind}:{r.base.name}":
        raise UsageError(
            f"{remote.told} has wheels and bytecode for Python {r.python} of {r.base.name}, not for {base}",
            hint=f"imagekit build {r.profile} --base {base}",
        )
    return lock


def _below(old: Image, lock: Lock) -> int:
    """How many of the lowest layers are the system of a composed image; 0 of any other."""
    if lock.resolution.base.kind == "image":
        return onto.system_of(old)
    return 1 if old.layers and BOTTOM.fullmatch(old.layers[0].made_by) else 0


def _restacked(old: Image, below: int, lock: Lock, new: System, remote: Remote, shelf: Kept) -> Image:
    if lock.resolution.base.kind == "image":
        return onto.moved(old, below, lock, new, remote.there, shelf)
    (bottom,) = new.layers
    return restacked(old, bottom)


def lock_of(remote: Remote) -> Lock:
    """The lock that an image carries, compared with its label. Raises UsageError for an image without one."""
    config = remote.image(remote.name).get("Config") or {}
    told = (config.get("Labels") or {}).get("io.imagekit.lock", "")
    lock = papers.lock_in(remote.files("", [papers.LOCK]).get(papers.LOCK, b""), told)
    if lock:
        return lock
    raise UsageError(f"{remote.told} has no lock that this imagekit can read", hint="imagekit build makes it anew")


def _same_place(remote: Remote) -> Output:
    """Where the image is; in a registry under the names that are its own, the immutable one first."""
    if remote.told.startswith(LAYOUT):
        return Output("oci", str(in_layout(remote.told)[0].path))
    return Output("registry", re.sub(r"(:[^:/@]+)?(@.*)?$", "", remote.told))


def _is_there(remote: Remote, output: Output) -> bool:
    """Whether what the image consists of is where it goes to."""
    if output.kind != "registry" or remote.told.startswith(LAYOUT):
        return False
    return references.parse(output.place).place == _same_place(remote).place


def _beside(
    image: Image, lock: Lock, entry: Record, new: System, site: Site, say: Say, place: Reference, there: Repository
) -> None:
    """As of an image that was composed: of wheels that this machine has, the licences too."""
    licenses = Contents(contents.of_lock(lock, kept()), *contents.of_layers(new.layers, kept()))
    beside.attach(place, there, image.digest, (lock, entry), licenses, site, say)


def _parts(old: Image, remote: Remote) -> dict[str, str]:
    """What the old image was to be made of, and so the new one; of this machine's record, else of its registry."""
    here = next((entry.parts for entry in record.of_image(old.id)), None)
    made = papers.of(remote.there, old.digest) if not here and isinstance(remote.there, Repository) else None
    return here or (made.record.parts if made else {})


def _known(old: Image, below: int) -> dict[str, str]:
    """The versions of the old system: of this machine's record, else out of its layer, where it is here."""
    kept_here = next((entry.system for entry in record.of_image(old.id)), None)
    if kept_here:
        return kept_here
    path = old.layers[below - 1].path
    names = ("./opt/imagekit/record/system.txt", "opt/imagekit/record/system.txt")
    return next((found for name in names if (found := system.versions(path, name))), {}) if path != Path() else {}
