"""Against a baseline, and against floors: which figures became worse, by how much, and whether that is noise."""

from __future__ import annotations

import json
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
        ratio = self.now.median / self.before.median if self.before.median else 1.0
        return 1 - ratio if self.now.better == "higher" else ratio - 1

    @property
    def regressed(self) -> bool:
        """Worse by more than is allowed, and by more than the spread of the two explains: the middle halves of their
        samples do not overlap."""
        apart = self.now.high < self.before.low or self.now.low > self.before.high
        return self.worse > self.allowed and apart

    def text(self) -> str:
        word = "worse" if self.worse > 0 else "better"
        return f"{self.name}: {self.before.text()} -> {self.now.text()}, {abs(self.worse):.0%} {word}"


@dataclass(frozen=True)
class Floor:
    """A figure that must be reached on a kind of GPU."""

    name: str
    wanted: float
    now: Metric

    @property
    def missed(self) -> bool:
        if self.now.better == "higher":
            return self.now.median < self.wanted
        return self.now.median > self.wanted

    def text(self) -> str:
        return f"{self.name}: {self.now.text()}, the site asks for {self.wanted:g} {self.now.unit}"


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


def lost(before: Measured, now: Measured) -> list[str]:
    """What the baseline has and this run did not come to: a benchmark that fails is no improvement."""
    measured_now = {bench.name: bench for bench in now.benches}
    names = [bench.name for bench in before.benches if bench.status == "OK" and bench.name in measured_now]
    return [f"{name}: {measured_now[name].reason}" for name in names if measured_now[name].status == "SKIP"]


def floors(settings: Mapping[str, Mapping[str, float]], now: Measured) -> list[Floor]:
    """Floors of the site for the GPUs that are here; `cpu` is for every machine.

    Raises UsageError for a name that no benchmark of this run could have.
    """
    here = [str(name) for name in now.environment.get("gpus") or ()]
    metrics, found, unknown = dict(now.metrics()), list[Floor](), list[str]()
    benches = {bench.name for bench in now.benches}
    for kind, wanted in settings.items():
        if kind != "cpu" and not any(is_model(kind, gpu) for gpu in here):
            continue
        for name, value in wanted.items():
            if name in metrics:
                found.append(Floor(name, value, metrics[name]))
            elif name.partition("/")[0] in benches:
                unknown.append(f"bench.floors.{kind}: no figure {name!r} was measured")
    if unknown:
        raise UsageError(
            "the site's floors ask for what was not measured", details=unknown, hint=f"there are: {', '.join(metrics)}"
        )
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
