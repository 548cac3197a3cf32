"""Where a composed image goes: --output, as often as wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit import amounts, scratch
from imagekit.errors import UsageError
from imagekit.oci import layout
from imagekit.oci.image import Image
from imagekit.tag import Names

KINDS = ("oci", "archive", "engine")


@dataclass(frozen=True)
class Output:
    kind: str
    """One of KINDS."""
    place: str = ""


def parse(text: str) -> Output:
    """oci:DIR | archive:FILE | engine. Raises UsageError."""
    kind, _, place = text.partition(":")
    if kind not in KINDS or bool(place) == (kind == "engine"):
        raise UsageError(f"--output {text!r} is no place for an image", hint="oci:DIR, archive:FILE, or engine")
    return Output(kind, place)


def write(image: Image, output: Output, names: Names, say: Callable[[str, str], None]) -> None:
    """Raises Surroundings where it cannot be written."""
    tags = [*names.moving, names.immutable]
    if output.kind == "oci":
        layout.write(image, Path(output.place), [name.rpartition(":")[2] for name in tags])
        say("output", f"oci:{output.place}  {image.digest}")
    elif output.kind == "archive":
        layout.archive(image, Path(output.place), tags)
        say("output", f"archive:{output.place}  {amounts.size(Path(output.place).stat().st_size)}")
    else:
        _load(image, tags, say)


def _load(image: Image, tags: list[str], say: Callable[[str, str], None]) -> None:
    from imagekit.engines.docker_api import Engine

    engine = Engine()
    with scratch.folder("load") as place, contextlib.closing(engine.client):
        path = place / "image.tar"
        layout.archive(image, path, tags)
        engine.load(path)
    for name in tags:
        say("tag" if name == tags[0] else "", name)
