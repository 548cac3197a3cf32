"""Against a baseline, and against floors: which figures became worse, by how much, and whether that is noise."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.bench import measured
from imagekit.bench.measured import Measured, Metric
from imagekit.errors import UsageError

SAVES = "imagekit bench IMAGE --save FILE writes one"


@dataclass(frozen=True)
class Change:
    """One metric, before and now."""

    name: str
    before: Metric
    now: Metric
    allowed: float
    """Part that it may be worse by: 0.1."""

    @property
    def worse(self) -> float:
        """By which part it is worse; negative where it is better."""
        sign = -1.0 if self.now.better == "higher" else 1.0
        if not self.before.median:
            return 0.0 if not self.now.median else sign * math.copysign(math.inf, self.now.median)
        return sign * (self.now.median - self.before.median) / abs(self.before.median)

    @property
    def regressed(self) -> bool:
        """Worse by more than is allowed, and by more than the spread of the two explains: the middle halves of their
        samples do not overlap."""
        apart = self.now.high < self.before.low or self.now.low > self.before.high
        return self.worse > self.allowed and apart

    def text(self) -> str:
        word = "worse" if self.worse > 0 else "better"
        by = f", {abs(self.worse):.0%} {word}" if math.isfinite(self.worse) else f", {word}"
        return f"{self.name}: {self.before.text()} -> {self.now.text()}{by}"


@dataclass(frozen=True)
class Floor:
    """A figure that must be reached on a kind of GPU."""

    name: str
    wanted: float
    now: Metric | None
    """None: it was not measured."""

    @property
    def missed(self) -> bool:
        if self.now is None:
            return True
        return self.now.median < self.wanted if self.now.better == "higher" else self.now.median > self.wanted

    def text(self) -> str:
        if self.now is None:
            return f"{self.name}: the site asks for {self.wanted:g}, and it was not measured"
        return f"{self.name}: {self.now.text()}, the site asks for {self.wanted:g} {self.now.unit}"


@dataclass(frozen=True)
class Lost:
    """A figure of the baseline that there is none of now."""

    name: str
    before: Metric
    reason: str
    """Why its benchmark was not run; empty where it was."""

    def text(self) -> str:
        return f"{self.name}: in the baseline, not measured here" + (f" ({self.reason})" if self.reason else "")


def changes(before: Measured, now: Measured, allowed: float) -> list[Change]:
    """Metrics that both have. Raises UsageError for runs on different kinds of machine: nothing follows from those."""
    if before.machine != now.machine:
        raise UsageError(
            "the baseline was measured on another kind of machine",
            details=[f"baseline  {before.machine}", f"here      {now.machine}"],
            hint="a baseline per kind of machine: --save FILE here makes one",
        )
    old = dict(before.metrics())
    return [Change(name, old[name], metric, allowed) for name, metric in now.metrics() if name in old]


def lost(before: Measured, now: Measured) -> list[Lost]:
    """What the baseline has and this run was asked for and did not come to: a figure that is gone is no improvement."""
    here, reasons = dict(now.metrics()), {bench.name: bench.reason for bench in now.benches}
    gone = [(name, metric) for name, metric in before.metrics() if name not in here and now.asked(name)]
    return [Lost(name, metric, reasons.get(name.partition("/")[0], "")) for name, metric in gone]


def floors(settings: Mapping[str, Mapping[str, float]], now: Measured) -> list[Floor]:
    """Floors of the site for the GPUs that are here; `cpu` is for every machine. One without a figure is missed."""
    here = [str(name) for name in now.environment.get("gpus") or ()]
    metrics, found = dict(now.metrics()), list[Floor]()
    for kind, wanted in settings.items():
        if kind == "cpu" or any(is_model(kind, gpu) for gpu in here):
            for name, value in wanted.items():
                if now.asked(name):
                    found.append(Floor(name, value, metrics.get(name)))
    return found


OTHER_MODELS = {"ti", "super", "laptop", "max", "ada"}
"""Words that make another model of a name: an RTX 3090 Ti is no RTX 3090, an RTX 6000 Ada no RTX 6000."""


def is_model(kind: str, gpu: str) -> bool:
    """Whether a driver's name is of a model: A100 is NVIDIA A100-SXM4-40GB, H20 is not H200."""
    wanted, words = (set(re.split(r"[^a-z0-9]+", text.lower())) - {""} for text in (kind, gpu))
    return wanted <= words and not (words - wanted) & OTHER_MODELS


def share(text: str) -> float:
    """10% or 0.1 as a part of one. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value < 1:
        raise UsageError(f"--max-regression {text!r} is no part of a figure", hint="10%, or 0.1")
    return value


def read(path: str) -> Measured:
    """A run that --save wrote. Raises UsageError."""
    try:
        return measured.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="imagekit bench IMAGE --save writes it"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is no run of benchmarks", hint="imagekit bench IMAGE --save writes one") from None
