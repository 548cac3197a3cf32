"""layers + configuration -> an image: its config, its manifest, and what a tag of it points to.

OCI image specification 1.1. Every byte follows from the layers and the configuration: no time and no name of a machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imagekit.oci import tar
from imagekit.oci.layer import Layer

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Stacked:
    """A layer in an image."""

    layer: Layer
    path: Path
    """Its blob."""
    made_by: str
    """A line of the image's history."""


INHERITED = ("ExposedPorts", "Healthcheck", "StopSignal", "Volumes")
"""What an image hands on to one that is built on it, as the FROM of a Dockerfile does, besides ENV and LABEL."""


@dataclass(frozen=True)
class Configuration:
    """What a container of the image starts with."""

    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else an image below has of `INHERITED`, as it stands in its configuration."""


@dataclass(frozen=True)
class Image:
    config: bytes
    manifest: bytes
    layers: tuple[Stacked, ...]

    @property
    def id(self) -> str:
        """Digest of the config: what Docker's classic store calls the image's id."""
        return digest(self.config)

    @property
    def digest(self) -> str:
        """Digest of the manifest: what a registry calls it."""
        return digest(self.manifest)

    @property
    def size(self) -> int:
        """Bytes to transfer, all layers."""
        return sum(stacked.layer.size for stacked in self.layers)

    @property
    def unpacked(self) -> int:
        return sum(stacked.layer.unpacked for stacked in self.layers)


def make(layers: tuple[Stacked, ...], configuration: Configuration, created: int) -> Image:
    """`created`: seconds since the epoch."""
    c = configuration
    started: dict[str, Any] = {
        "User": c.user, "Env": [f"{name}={value}" for name, value in sorted(c.env.items())],
        "Entrypoint": list(c.entrypoint), "Cmd": list(c.cmd), "WorkingDir": c.workdir,
        "Labels": dict(sorted(c.labels.items())), **c.more,
    }  # fmt: skip
    config = _json({
        "architecture": "amd64", "os": "linux", "created": _time(created),
        "config": {name: value for name, value in started.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.layer.diff_id}" for one in layers]},
        "history": [{"created": _time(tar.EPOCH), "created_by": one.made_by} for one in layers],
    })  # fmt: skip
    return _image(config, layers)


def restacked(old: Image, bottom: Stacked) -> Image:
    """The same image on another lowest layer: nothing else of it, and of its configuration, changes."""
    config = json.loads(old.config)
    config["rootfs"]["diff_ids"][0] = f"sha256:{bottom.layer.diff_id}"
    config["history"][0]["created_by"] = bottom.made_by
    return _image(_json(config), (bottom, *old.layers[1:]))


def _image(config: bytes, layers: tuple[Stacked, ...]) -> Image:
    rows = [{"mediaType": GZIP, "digest": f"sha256:{one.layer.digest}", "size": one.layer.size} for one in layers]
    manifest = _json({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": rows})
    return Image(config, manifest, layers)


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
