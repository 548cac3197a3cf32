"""image on one base image + another base image -> the same wheels on that one: its lock, its own files, its layers.

Only where the other base offers what the first one did: everything that was decided stays decided.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from imagekit import contract, papers, remote
from imagekit.compat import bases
from imagekit.compat.facts import load
from imagekit.compose import asked, own
from imagekit.compose.system import System
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock
from imagekit.oci import image as images
from imagekit.oci import layer, stack, tar
from imagekit.oci.image import Image, Stacked
from imagekit.oci.kept import Kept, Made
from imagekit.plan import plan
from imagekit.remote import SMALL, UNPACKED, Readable
from imagekit.resolution import Base
from imagekit.site import Site

Say = Callable[[str, str], None]

PACKAGES = re.compile(r"imagekit: packages on \S+, \d+ distribution packages")
"""The history's line of what a composed image has installed on its base (compose.system)."""

OURS = remote.OURS[0]
"""That of its highest layer."""

_VERSION = "io.imagekit.version"


def another(lock: Lock, base: str, site: Site, shelf: Kept, say: Say) -> Lock:
    """The lock, on `base`: image:REFERENCE, or empty for what the name of its own base leads to now.

    Raises UsageError for one that offers something else or cannot be had, ImpossibleWish for one that nothing can be
    built on, Surroundings.
    """
    r = lock.resolution
    name, digest = bases.reference(base, site.settings.base.map) if base else (r.base.name, "")
    reference = f"{name}@{digest}" if digest else name
    if not name or (not base and (not r.base.digest or ":" not in name.rpartition("/")[2])):
        raise UsageError(
            f"{r.base.name} has no tag that may lead somewhere else, or was never in a registry" if name else
            "image: names no image", hint="--base image:REFERENCE, of a registry",
        )  # fmt: skip
    found = asked.of_registry(reference, site, shelf, say, must=True)
    if found is None:
        raise UsageError(f"its registry has no image {reference}", hint="is its name right, and was it pushed?")
    system = bases.known_suite(bases.suite_of(f"image:{name}", found))
    if r.base.found is None:
        raise UsageError(f"nobody asked {r.base.name} what it offers", hint=f"imagekit build {r.profile}")
    others = [
        f"{what}: {old or 'none'}, and {new or 'none'} there"
        for what, old, new in _decides(r.base.found, found)
        if old != new
    ]
    if others:
        raise UsageError(
            f"{reference} offers something else than {r.base.name}", details=others,
            hint=f"imagekit build {r.profile} --base image:{reference}",
        )  # fmt: skip
    toolkit = load().toolkit(r.cuda)
    told = bases.notes(r.base.found, r.cuda, toolkit)
    kept_env = {name: text for name, text in r.env.items() if text or name not in bases.emptied(r.base.found)}
    new = r.model_copy(update={
        "base": Base(kind="image", name=name, digest=digest or found.digest, found=found),
        "env": {**bases.emptied(found), **kept_env},
        "notes": (*(note for note in r.notes if note not in told), *bases.notes(found, r.cuda, toolkit)),
        "differs": tuple(_named(part, base) for part in r.differs),
        "os": f"{system.id.capitalize()} {system.version}",
    })  # fmt: skip
    return lock.model_copy(update={"resolution": new})


def _named(part: str, base: str) -> str:
    """A part of the image's tag, which may tell the base that was wished for (compat.resolve)."""
    if base and re.fullmatch(r"image[0-9a-f]{6}", part):
        return "image" + hashlib.sha256(base.encode()).hexdigest()[:6]
    return part


def _decides(old: Foundation, new: Foundation) -> Iterator[tuple[str, str, str]]:
    """(what, of the old, of the new) for what an image is decided by besides its base's name."""
    yield "distribution", f"{old.os} {old.version}", f"{new.os} {new.version}"
    yield "glibc", old.glibc, new.glibc
    yield "CUDA of its own", " ".join(old.cuda), " ".join(new.cuda)
    yield "nvcc", "yes" if old.nvcc else "", "yes" if new.nvcc else ""


def parts(lock: Lock) -> dict[str, str]:
    """Of what is to be made (Plan.parts): those that another base makes others, but for the image's own files."""
    found = plan(lock, {}).parts
    return {name: found[name] for name in ("system", "config")}


def system_of(image: Image) -> int:
    """How many of the lowest layers are the base and what was installed on it; 0 where nothing of ours says so, or
    somebody has built on it."""
    if not image.layers or image.layers[-1].made_by != OURS:
        return 0
    return next((at for at, one in enumerate(image.layers, 1) if PACKAGES.fullmatch(one.made_by)), 0)


def moved(old: Image, below: int, lock: Lock, new: System, there: Readable, shelf: Kept) -> Image:
    """The image on another system; `below`: layers of the old one. Raises ImpossibleWish for too many layers."""
    wheels = old.layers[below:-1]
    if len(wheels) > stack.above(len(new.layers)):
        raise ImpossibleWish(
            f"{len(wheels)} layers of packages do not fit on {len(new.layers)} layers of a system",
            hint=f"imagekit build {lock.resolution.profile}: it takes fewer",
        )
    top = Stacked(*_own(old.layers[-1], lock, there, shelf), old.layers[-1].made_by)
    labels = json.loads(old.config)["config"].get("Labels") or {}
    set_up = own.configuration(lock, new.env, new.labels, new.more)
    if _VERSION in labels:  # of the imagekit that made what is in it
        set_up = replace(set_up, labels={**set_up.labels, _VERSION: labels[_VERSION]})
    return images.make((*new.layers, *wheels, top), set_up, lock.epoch)


def _own(old: Stacked, lock: Lock, there: Readable, shelf: Kept) -> Made:
    """The layer of the image's own files with another lock."""
    content = contract.files(lock)[f"rootfs{papers.LOCK}"].content
    wanted = json.dumps([layer.FORMAT, "own", old.layer.digest, lock.digest, hashlib.sha256(content).hexdigest()])
    digest = f"sha256:{old.layer.digest}"

    def write(out: IO[bytes]) -> layer.Layer:
        blob = there.read(digest, SMALL) if old.path == Path() else old.path.read_bytes()
        try:
            return layer.write(out, list(_entries(blob, content)), pack=True)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise UsageError(f"the layer {digest[:19]} is damaged", details=[str(error)]) from None

    return shelf.take(hashlib.sha256(wanted.encode()).hexdigest(), write)


_TYPES = {tarfile.REGTYPE: tar.FILE, tarfile.SYMTYPE: tar.LINK, tarfile.DIRTYPE: tar.DIRECTORY}


def _entries(blob: bytes, lock: bytes) -> Iterator[tuple[tar.Entry, bytes]]:
    """What is in a layer of ours, as it was written, with another lock."""
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        for member in archive:
            kind = _TYPES.get(member.type)
            if kind is None or archive.offset + member.size > UNPACKED:
                raise tarfile.ReadError(f"{member.name!r} is no file, link or folder of imagekit's")
            stream = archive.extractfile(member) if kind == tar.FILE else None
            content = stream.read() if stream else b""
            content = lock if f"/{member.name}" == papers.LOCK else content
            yield tar.Entry(member.name, kind, member.mode, len(content), member.linkname), content
