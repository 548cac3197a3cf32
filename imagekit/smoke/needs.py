"""What a check may need that is no part of the image: a GPU, a second one, a lock to compare with."""

from __future__ import annotations

import os
from collections.abc import Callable

from . import gpu
from .check import Check, Image

OF_STAGE = {"gpu": ("gpu",), "multi-gpu": ("gpu", "two-gpus")}
"""What every check of a stage needs."""


def lock(image: Image) -> str:
    return "" if image.locked else "not built by imagekit: there is no lock to compare with"


def bytecode(image: Image) -> str:
    return "" if image.facts.get("bytecode", True) else "built without (--no-pyc)"


def any_gpu(image: Image) -> str:
    return gpu.here().absent


def two_gpus(image: Image) -> str:
    count = len(gpu.here().names)
    return "" if count > 1 else f"{count} GPU here, this takes two"


def two_cores(image: Image) -> str:
    return "" if (os.cpu_count() or 1) > 1 else "one core here, this takes two"


NEEDS: dict[str, Callable[[Image], str]] = {
    "lock": lock,
    "bytecode": bytecode,
    "gpu": any_gpu,
    "two-gpus": two_gpus,
    "two-cores": two_cores,
}
"""Name -> why it is not there; the empty string when it is."""


def missing(check: Check, image: Image) -> str:
    """Why a check cannot run here; empty when it can."""
    wanted = dict.fromkeys((*OF_STAGE.get(check.stage, ()), *check.needs))
    return next((reason for name in wanted if (reason := NEEDS[name](image))), "")


def lacks_gpu(check: Check, image: Image) -> bool:
    """Whether it is a GPU that is missing, which --require-gpu makes a failure. That there is only one is not."""
    return "gpu" in (*OF_STAGE.get(check.stage, ()), *check.needs) and bool(any_gpu(image))
