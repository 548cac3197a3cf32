"""Images of a few bytes, and where they are pushed to."""

from __future__ import annotations

import hashlib
from pathlib import Path

from registry_double import Registry

from imagekit.oci import image
from imagekit.oci.image import Configuration, Image, Stacked
from imagekit.oci.layer import Layer
from imagekit.oci.push import push
from imagekit.oci.registry import Repository
from imagekit.oci.sending import Sending
from imagekit.oci.wire import Wire


def target(there: Registry, name: str = "ml/pytorch") -> Repository:
    return Repository(Wire(there.address, plain=True, find_login=lambda _: None, wait=lambda _: None), name)


def made(folder: Path, *contents: bytes) -> Image:
    folder.mkdir(exist_ok=True)
    layers = []
    for number, content in enumerate(contents):
        path = folder / str(number)
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        layers.append(Stacked(Layer(digest, "0" * 64, len(content), len(content), 1), path, f"layer {number}"))
    return image.make(tuple(layers), Configuration(env={"A": "1"}), 1735689600)


def pushed(folder: Path, there: Registry) -> Image:
    """An image of two layers, in the registry as ml/pytorch:a."""
    found = made(folder, b"one", b"two")
    push(found, Sending(target(there)), ["a"])
    return found


def labelled(folder: Path, content: str, labels: dict[str, str]) -> Image:
    """An image of one layer that says of itself what imagekit's do."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "0"
    path.write_bytes(content.encode())
    layer = Layer(hashlib.sha256(content.encode()).hexdigest(), "0" * 64, len(content), len(content), 1)
    own = Configuration(labels={f"io.imagekit.{name}": text for name, text in labels.items()})
    return image.make((Stacked(layer, path, "layer 0"),), own, 1735689600)
