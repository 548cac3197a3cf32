"""Proving an image of a registry or of an OCI layout in a root of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imagekit.compose import room, tree
from imagekit.errors import UsageError
from imagekit.oci.image import Image
from imagekit.oci.kept import kept
from imagekit.proof import runner
from imagekit.pulled import pulled
from imagekit.remote import Remote
from imagekit.report import Report

Say = Callable[[str, str], None]


def prove(remote: Remote, wish: runner.Wish, say: Say) -> Report:
    """Raises UsageError for what needs an engine, Surroundings where no root of its own can be had."""
    if wish.gpus not in ("auto", "none") or wish.keep:
        raise UsageError(
            f"{'--keep' if wish.keep else '--gpus'} needs an engine",
            hint="without one there is no GPU and no container",
        )
    shelf = kept()
    with shelf.in_use():
        return of_image(pulled(remote, shelf, say), remote.told, wish, say, verify=True)


def of_image(image: Image, reference: str, wish: runner.Wish, say: Say, *, verify: bool = False) -> Report:
    """`verify`: layers are compared with what the image says of them."""
    if wish.checks and not runner.inside(wish):  # nothing of the image is run
        return runner.prove(tree.Tree(image, Path(), Path()), reference, wish, lambda step: say("~", step))
    say("prove", f"without an engine: {room.isolation()}")
    with tree.unpacked(image, verify=verify) as unpacked:
        return runner.prove(unpacked, reference, replace(wish, gpus="none"), lambda step: say("~", step))
