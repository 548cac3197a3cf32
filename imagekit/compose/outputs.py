"""Where a composed image goes: --output, as often as wanted."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from imagekit import amounts, publish, remote, scratch
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import cosign, layout, push
from imagekit.oci import reference as references
from imagekit.oci.image import MANIFEST, Image, Stacked
from imagekit.oci.places import Places
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.oci.sending import Sending
from imagekit.proof import evidence
from imagekit.report import failing
from imagekit.site import Site
from imagekit.tag import Names

KINDS = ("oci", "archive", "engine", "registry")


Beside = Callable[[Reference, Repository], None]
"""Attaches what goes with an image to one that is in a repository, before it gets names there."""

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


class Outputs:
    """Where an image goes, from before it is made: registries take layers as soon as these are there.

    While it lasts; then what is on its way is given up. Raises Surroundings where something cannot be written.
    """

    def __init__(self, wanted: Sequence[Output], site: Site, folder: Path, say: Callable[[str, str], None]) -> None:
        """`folder`: of the layer cache."""
        self._wanted, self._say = wanted, say
        self._sending: dict[str, Sending] = {}
        """By repository, with its host."""
        self._places: dict[str, Places] = {}
        for output in wanted:
            target = references.parse(output.place) if output.kind == "registry" else None
            if target and site.settings.sign.key:
                cosign.needed()
            if target and target.place not in self._sending:
                there = remote.repository(target, site)
                places = self._places.setdefault(target.host, Places(folder / "places", there.wire.host))
                mount_from = functools.partial(places.having, besides=target.repository)
                self._sending[target.place] = Sending(there, mount_from=mount_from)

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        for sending in self._sending.values():
            sending.give_up()

    def layer(self, one: Stacked) -> None:
        """A layer that will be in the image, unless something goes wrong until then."""
        for sending in self._sending.values():
            sending.layer(one)

    def write(self, image: Image, names: Names, beside: Beside = lambda *_: None) -> str:
        """The image, wherever it is wanted; how docker, skopeo and the verbs of imagekit name it.

        HOST/REPOSITORY@DIGEST where it is in a registry, else its id in an engine, oci:DIR:TAG, or a file.
        `beside`: what goes with it into a registry.
        """
        tags = [*names.moving, names.immutable]
        called: dict[str, str] = {}
        for output in self._wanted:
            if output.kind == "oci":
                layout.write(image, Path(output.place), [name.rpartition(":")[2] for name in tags])
                self._say("output", f"oci:{output.place}  {image.digest}")
                called.setdefault("oci", f"oci:{output.place}:{names.immutable.rpartition(':')[2]}")
            elif output.kind == "archive":
                layout.archive(image, Path(output.place), tags)
                self._say("output", f"archive:{output.place}  {amounts.size(Path(output.place).stat().st_size)}")
                called.setdefault("archive", output.place)
            elif output.kind == "registry":
                target = references.parse(output.place)
                digest = _push(image, target, self._sending[target.place], names, beside, self._say)
                called.setdefault("registry", f"{target.place}@{digest}")
                blobs = [image.id, *(f"sha256:{one.layer.digest}" for one in image.layers)]
                self._places[target.host].note(target.repository, blobs)
            else:
                _load(image, tags, self._say)
                called["engine"] = image.id
        return next(called[kind] for kind in ("registry", "engine", "oci", "archive") if kind in called)


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


def _push(
    image: Image, target: Reference, sending: Sending, names: Names, beside: Beside,
    say: Callable[[str, str], None],
) -> str:  # fmt: skip
    """Under the tag of the reference, else, where it is proven, under its own names by the rules of `publish`.

    The digest that it is there by.
    """
    done = push.push(image, sending, [], progress=lambda sent, of: say("~", f"push {sent * 100 // max(of, 1)}%"))
    known = done.there + done.mounted
    told = f"{amounts.size(done.bytes)} sent" + (f", {known} blobs there" if known else "")
    say("push", f"{target.place}@{image.digest[:19]}  {told}")
    proofs = evidence.of(image.id, image.digest)
    word = publish.told(sending.target, image.digest, proofs)
    if word:
        say("", word)
    beside(target, sending.target)
    if target.tag:
        sending.target.put_manifest(target.tag, image.manifest, MANIFEST)
        if sending.target.digest_of(target.tag) != image.digest:
            raise Surroundings(f"the tag {target.place}:{target.tag} is another image", hint="somebody else moved it?")
        say("", f"{target.place}:{target.tag}")
        return image.digest
    if not evidence.good(proofs):
        bad = failing([kept.report for kept in proofs])
        say(
            "",
            f"it gets no name: {bad[0] if bad else 'it is not proven; registry:HOST/REPOSITORY:TAG names it as it is'}",
        )
        return image.digest
    settled = publish.settle(sending.target, image.digest, names, datetime.now(timezone.utc))
    publish.say(target, settled.outcomes, say)
    return settled.digest
