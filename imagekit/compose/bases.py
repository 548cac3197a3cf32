"""An image as a base: its layers, which stay the lowest ones, and what its configuration sets.

From its registry, by the digest of the lock, so that nodes share the layers and the registry need not be sent them;
an image that was never in a registry comes out of the engine that has it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from imagekit import pulled, remote
from imagekit.compose import altered
from imagekit.errors import Surroundings
from imagekit.oci import reference as references
from imagekit.oci.image import INHERITED, Stacked
from imagekit.oci.kept import Kept
from imagekit.oci.layer import FORMAT, Layer
from imagekit.resolution import Base
from imagekit.site import Site

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Below:
    """What an image stands on."""

    layers: tuple[Stacked, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    more: Mapping[str, Any] = field(default_factory=dict)
    """As Configuration has it."""


def of_image(base: Base, site: Site, shelf: Kept, say: Say) -> Below:
    """Raises Surroundings where the image cannot be had, or is another one than when it was locked."""
    if base.digest:
        name = references.parse(f"{with_host(base.name)}@{base.digest}")
        there = remote.Remote(base.name, remote.repository(name, site), name.digest)
        image = pulled.pulled(there, shelf, say)
        return Below(image.layers, *_configuration(there.config.get("config") or {}))
    return _of_engine(base, shelf, say)


def with_host(name: str) -> str:
    """As an engine reads it: a name without a registry is one of Docker Hub."""
    first, slash, _ = name.partition("/")
    return name if slash and ("." in first or ":" in first or first == "localhost") else f"docker.io/{name}"


def _of_engine(base: Base, shelf: Kept, say: Say) -> Below:
    from imagekit.engines.docker_api import Engine

    hint = "push it to a registry and lock with that name, or --engine buildkit"
    try:
        engine = Engine()
        details = engine.image(base.name)
    except Surroundings as error:
        raise Surroundings(f"the base {base.name} is in no registry, and {error.message}", hint=hint) from None
    with contextlib.closing(engine.client):
        if details is None or (base.found and details["Id"] != base.found.id):
            is_now = "is another one than when it was locked" if details else "is in no registry and not in the engine"
            raise Surroundings(f"the base {base.name} {is_now}", hint="imagekit lock, with --upgrade")
        diff_ids = [str(one).removeprefix("sha256:") for one in details["RootFS"]["Layers"]]
        found = [shelf.find(f"tar-{one}-{FORMAT}") for one in diff_ids]
        if None in found:
            say("fetch", f"{base.name} out of the engine")
            with engine.layers(details["Id"]) as opened:
                found = [
                    shelf.take(f"tar-{one}-{FORMAT}", functools.partial(_packed, layer))
                    for one, layer in zip(diff_ids, opened, strict=True)
                ]
    stacked = [Stacked(*made, f"base {base.name}") for made in found if made]
    return Below(tuple(stacked), *_configuration(details.get("Config") or {}))


def _packed(opened: Callable[[], Any], out: IO[bytes]) -> Layer:
    with opened() as archive:
        archive.fileobj.seek(0)
        return altered.packed(archive.fileobj.read, out)


def _configuration(config: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    env = dict(str(entry).partition("=")[::2] for entry in config.get("Env") or [])
    labels = {str(name): str(text) for name, text in (config.get("Labels") or {}).items()}
    return env, labels, {name: config[name] for name in INHERITED if config.get(name)}
