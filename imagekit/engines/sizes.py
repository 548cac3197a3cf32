"""Sizes of images, where there is an engine to ask; without one nothing is known, and that is no error."""

from __future__ import annotations

from collections.abc import Callable

from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings


def image_size() -> Callable[[str], int | None]:
    """A function from a tag to the bytes of its image, None where it is not known."""
    try:
        engine = Engine()
    except Surroundings:
        return lambda _: None

    def size(reference: str) -> int | None:
        try:
            return int((engine.image(reference) or {})["Size"])
        except (KeyError, Surroundings):
            return None

    return size
