"""A label that says something else than the image has: schedulers, catalogues and people choose by labels, and pull
gigabytes onto a node that cannot run them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping

from ..check import Check, Failure, Figures, Image, Skip

PREFIX = "io.imagekit."


def run(image: Image) -> Figures:
    passed = os.environ.get("IMAGEKIT_IMAGE_LABELS")
    if passed is None:
        raise Skip("only whoever starts the container sees its labels: imagekit test passes them on")
    labels = {name.removeprefix(PREFIX): value for name, value in json.loads(passed).items() if name.startswith(PREFIX)}
    wrong = differences(labels, truth(image))
    if wrong:
        raise Failure(
            found="; ".join(f"{PREFIX}{name}={labels.get(name, '')}" for name in wrong),
            expected="; ".join(f"{name}={value}" for name, value in wrong.items()),
            because="a LABEL line of a derived image",
            fix="leave io.imagekit.* alone; labels of your own have names of your own",
        )
    return {"labels": len(labels)}


def truth(image: Image) -> dict[str, str]:
    """What labels must say, from the lock in the image and from the interpreter that runs here."""
    return {
        "profile": str(image.facts.get("profile") or ""),
        "torch": str(image.lock.get("torch") or ""),
        "cuda": str(image.cuda or ""),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "gpu-architectures": " ".join(image.facts.get("gpu_architectures") or ()),
        "min-driver": str(image.facts.get("min_driver") or ""),
        "features": " ".join(image.features),
    }


def differences(labels: Mapping[str, str], true: Mapping[str, str]) -> dict[str, str]:
    """What is true, by name, where the labels say something else; a label that would be empty is not there."""
    return {name: value for name, value in true.items() if labels.get(name, "") != value}


CHECK = Check("labels", "static", run, needs=("lock",))
