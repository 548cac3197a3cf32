"""What a benchmark is, what it is told about this machine, and what it answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from .measure import Metric

DEVICES = ("cpu", "cuda")


class Skip(Exception):
    """It cannot run here, or not in this image; the reason says what is missing."""


@dataclass(frozen=True)
class Setting:
    """What was asked for, and which GPUs there are."""

    quick: bool = False
    device: str = "all"
    """cpu | cuda | all"""
    gpus: tuple[str, ...] = ()
    cores: int = 1

    @property
    def devices(self) -> tuple[str, ...]:
        """Where to measure; never empty: without a GPU `cuda` alone is a Skip, and no measurement of the CPU."""
        wanted = DEVICES if self.device == "all" else (self.device,)
        there = tuple(device for device in wanted if device == "cpu" or self.gpus)
        if not there:
            raise Skip("no GPU here")
        return there

    def repeats(self, usual: int, quick: int = 3) -> int:
        return quick if self.quick else usual


@dataclass(frozen=True)
class Outcome:
    """What a benchmark found."""

    metrics: list[Metric]
    notes: dict[str, Any] = field(default_factory=dict)
    """What a reader needs to compare them: versions, sizes, settings."""


@dataclass(frozen=True)
class Bench:
    """One thing that is measured."""

    name: str
    run: Callable[[Setting], Outcome]
    about: str
    needs: tuple[str, ...] = ("torch",)
    """Modules that the image must hold."""
    applies: Callable[[Setting], str] = lambda setting: ""
    """Why it cannot run here; empty when it can."""
    limit: float = 600.0
    """Seconds after which it is killed."""

    def missing(self, setting: Setting) -> str:
        absent = [name for name in self.needs if find_spec(name) is None]
        torch = sys.modules.get("torch")
        if "torch" in self.needs and torch is not None and not hasattr(torch, "Tensor"):
            return "this image's torch is a stand-in without code"
        return f"this image has no {', '.join(absent)}" if absent else self.applies(setting)


def needs_gpus(count: int) -> Callable[[Setting], str]:
    def reason(setting: Setting) -> str:
        if setting.device == "cpu":
            return "measures GPUs; --device cpu leaves them out"
        return "" if len(setting.gpus) >= count else f"{len(setting.gpus) or 'no'} GPU here, this takes {count}"

    return reason
