"""lock -> bundle: what an image is composed of, fetched, built and copied into a folder.

Everything is got as a build gets it, through the same caches. The document is written last: until then the bundle is
what it was before, and what no image of it needs is removed at the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imagekit import __version__, amounts, caches, files, gathered, pipeline
from imagekit.bundle import DOCUMENT, FACTS, MIRROR, VERSION, Built, Bundle, Document, Held, mirror, opened
from imagekit.bundle import unpack as unpacking
from imagekit.compat import facts
from imagekit.errors import Surroundings, UsageError
from imagekit.gathered import Gathered
from imagekit.lock.model import Lock, dump
from imagekit.locking import Say, own_path
from imagekit.oci.kept import kept
from imagekit.profile import Profile
from imagekit.site import Site

MARK = ".imagekit-bundle"
"""A file of every bundle, also of one whose first fetch was killed; locked by whoever writes to it."""

OWN = {MARK, DOCUMENT, FACTS, MIRROR, "locks", "wheels", "blobs"}


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Bundle]:
    """The bundle in `folder`, to be added to; an empty one where there is none yet, which goes again when nothing is
    added. One process at a time. Raises UsageError, Surroundings.
    """
    if (folder / DOCUMENT).exists():
        before = opened(folder)
        _same_facts(before)
    elif folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError(f"{folder} is not empty, and no bundle", hint="--to a new folder")
    with _told(folder):
        there = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        mark = (folder / MARK).open("w")
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Surroundings(f"another imagekit writes to {folder}", hint="wait until it is done") from None
        # only now: another process may have written it meanwhile
        bundle = opened(folder) if (folder / DOCUMENT).exists() else Bundle(folder, (), __version__)
        try:
            yield bundle
        finally:
            _sweep(folder, there)


def add(profile: Profile, lock: Lock, site: Site, bundle: Bundle, say: Say, *, newest: bool = False) -> Bundle:
    """The bundle with what `lock` needs, in place of an older fetch of the same. Raises Surroundings, BuildFailed."""
    shelf = kept()
    caches.prune(site.settings.build.cache)
    with shelf.in_use():
        context = pipeline.rendered(profile, lock, dialect="classic")
        found = gathered.gather(context, lock, site, shelf, say, None, newest=newest)
        held = _held(lock, found)
        images = (*(one for one in bundle.images if one.lock != held.lock), held)
        after = Bundle(bundle.folder, tuple(sorted(images, key=lambda one: one.lock)), __version__)
        with _told(bundle.folder):
            _copy(bundle, found)
            files.write(after.lock_path(held), dump(lock).encode())
            files.write(bundle.folder / FACTS, facts.text().encode())
            locks = [(one, after.lock_of(one)) for one in after.images]
            files.write(bundle.folder / MIRROR, mirror.table(locks).encode())
            files.write(bundle.folder / DOCUMENT, _document(after).encode())
    if lock.resolution.steps:
        owners = ", ".join(dict.fromkeys(step.overlay for step in lock.resolution.steps))
        say("", f"steps of {owners} run where the image is built: what they fetch is not in the bundle")
    return after


def size(bundle: Bundle) -> int:
    """Bytes of all its files."""
    return sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())


def _held(lock: Lock, found: Gathered) -> Held:
    layers = [{**asdict(one.layer), "told": one.made_by} for one in found.base.layers]
    sources = {package.name for package in lock.packages if package.kind == "sdist"}
    built = {
        wheel.name: Built(file=wheel.path.name, sha256=wheel.sha256)
        for wheel in found.wheels if wheel.name in sources
    }  # fmt: skip
    around: dict[str, str] = {}
    for system in found.around.values():
        around |= {name: version for name, version in system.packages.items() if name not in found.base.packages}
    row: dict[str, Any] = {
        "lock": str(own_path(lock.resolution)), "digest": lock.digest,
        "layers": layers, "packages": found.base.packages, "env": dict(found.base.env),
        "labels": dict(found.base.labels), "more": dict(found.base.more), "built": built, "around": around,
    }  # fmt: skip
    return Held.model_validate(row)


def _copy(bundle: Bundle, found: Gathered) -> None:
    for wheel in found.wheels:
        there = bundle.store.path(wheel.path.name, wheel.sha256)
        if there.is_file() and files.sha256(there) != wheel.sha256:
            there.unlink()
        with wheel.path.open("rb") as stream:
            put = functools.partial(shutil.copyfileobj, stream, length=files.PIECE)
            bundle.store.fill(wheel.path.name, wheel.sha256, put)
    for one in found.base.layers:
        target = bundle.blob(one.layer.digest)
        if target.is_file() and files.sha256(target) == one.layer.digest:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                unpacking.copy(one.path, out, one.layer.digest)
            Path(name).chmod(0o644)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)


def _document(bundle: Bundle) -> str:
    document = Document(version=VERSION, imagekit=bundle.imagekit, images=bundle.images)
    return json.dumps(document.model_dump(mode="json", exclude_defaults=True), indent=1, sort_keys=True) + "\n"


def _same_facts(bundle: Bundle) -> None:
    """Locks answer to the facts that they were made from."""
    with contextlib.suppress(OSError):
        if (bundle.folder / FACTS).read_text(encoding="utf-8") != facts.text():
            raise UsageError(
                f"the bundle {bundle.folder} was made from other facts, by imagekit {bundle.imagekit}",
                hint="a new folder for --to; what is in the caches is not fetched again",
            )


def _sweep(folder: Path, was_there: bool) -> None:
    """Remove what no image of the document needs; all, where there is no document."""
    if not (folder / DOCUMENT).exists():
        for path in [folder / name for name in OWN]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if not was_there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return
    try:
        bundle = opened(folder)
        needed = {path for held in bundle.images for path in _wheels(bundle, held)}
    except UsageError:  # it is damaged: nobody knows what it needs
        return
    kept_here = needed | {bundle.lock_path(held) for held in bundle.images}
    kept_here |= {bundle.blob(one.digest) for held in bundle.images for one in held.layers}
    for place in ("locks", "wheels", "blobs"):
        for path in sorted((folder / place).rglob("*"), reverse=True):  # files before their folders
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
            elif path not in kept_here:
                path.unlink(missing_ok=True)


def _wheels(bundle: Bundle, held: Held) -> Iterable[Path]:
    for package in bundle.lock_of(held).packages:
        built = held.built.get(package.name)
        yield bundle.store.path(built.file, built.sha256) if built else bundle.store.path(package.file, package.sha256)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Surroundings(f"the bundle {folder} cannot be written: {error.strerror}",
                           hint=f"it needs room: {amounts.size(shutil.disk_usage(folder).free)} are free there"
                           if folder.is_dir() else "") from None  # fmt: skip
