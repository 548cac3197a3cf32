"""Where a composed image goes: --output, as often as wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit import amounts, remote, scratch
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import layout, push
from imagekit.oci import reference as references
from imagekit.oci.image import Image
from imagekit.oci.reference import Reference
from imagekit.site import Site
from imagekit.tag import Names

KINDS = ("oci", "archive", "engine", "registry")


HINT = "oci:DIR, archive:FILE, engine, or registry:HOST/REPOSITORY"


@dataclass(frozen=True)
class Output:
    kind: str
    """One of KINDS."""
    place: str = ""


def parse(text: str) -> Output:
    """oci:DIR | archive:FILE | engine | registry:HOST/REPOSITORY[:TAG]. Raises UsageError."""
    kind, _, place = text.partition(":")
    if kind not in KINDS or bool(place) == (kind == "engine"):
        raise UsageError(f"--output {text!r} is no place for an image", hint=HINT)
    if kind == "registry" and references.parse(place).digest:
        raise UsageError(f"--output {text!r}: nobody chooses a digest", hint=HINT)
    return Output(kind, place)


def write(image: Image, output: Output, names: Names, site: Site, say: Callable[[str, str], None]) -> None:
    """Raises Surroundings where it cannot be written."""
    tags = [*names.moving, names.immutable]
    if output.kind == "oci":
        layout.write(image, Path(output.place), [name.rpartition(":")[2] for name in tags])
        say("output", f"oci:{output.place}  {image.digest}")
    elif output.kind == "archive":
        layout.archive(image, Path(output.place), tags)
        say("output", f"archive:{output.place}  {amounts.size(Path(output.place).stat().st_size)}")
    elif output.kind == "registry":
        _push(image, references.parse(output.place), names, site, say)
    else:
        _load(image, tags, say)


def _load(image: Image, tags: list[str], say: Callable[[str, str], None]) -> None:
    from imagekit.engines.docker_api import Engine

    engine = Engine()
    held = engine.holds([f"sha256:{one.layer.diff_id}" for one in image.layers])
    with scratch.folder("load") as place, contextlib.closing(engine.client):
        path = place / "image.tar"
        layout.archive(image, path, tags, held=held)
        try:
            engine.load(path)
        except Surroundings:
            if not held:
                raise
            layout.archive(image, path, tags)  # what it held is gone: somebody removed an image just now
            engine.load(path)
    missing = [name for name in tags if engine.image(name) is None]
    if missing:
        raise Surroundings("the engine took the image and does not have it", details=missing)
    say("load", f"{len(image.layers) - held} of {len(image.layers)} layers; the engine had the others")
    for name in tags:
        say("tag" if name == tags[0] else "", name)


def _push(image: Image, target: Reference, names: Names, site: Site, say: Callable[[str, str], None]) -> None:
    """Under the tag of the reference, else under those of the image: the one that never moves first."""
    own = [name.rpartition(":")[2] for name in (names.immutable, *names.moving)]
    tags = [target.tag] if target.tag else own
    there = remote.repository(target, site)
    if not target.tag and there.digest_of(own[0]) not in ("", image.digest):
        tags = own[1:]  # the same plan gave other bytes before: that name never moves
        say("push", f"{target.repository}:{own[0]} is another image of the same plan, and stays")
    done = push.push(image, there, tags, progress=lambda sent, of: say("~", f"push {sent * 100 // max(of, 1)}%"))
    told = f"{amounts.size(done.bytes)} sent" + (f", {done.there + done.mounted} blobs there" if done.there else "")
    say("push", f"{target.host}/{target.repository}@{image.digest[:19]}  {told}")
    for tag in tags:
        say("", f"{target.host}/{target.repository}:{tag}")
