"""Numbers from repeated measurements: warm up, repeat, tell the median and how far the middle half spreads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """One measured quantity, with every sample: a reader may want another statistic."""

    name: str
    unit: str
    better: str
    """higher | lower"""
    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower") or not self.samples:
            raise ValueError(f"{self.name}: better {self.better!r}, {len(self.samples)} samples")

    def row(self) -> dict[str, Any]:
        low, middle, high = quartiles(self.samples)
        return {
            "name": self.name, "unit": self.unit, "better": self.better,
            "median": rounded(middle), "low": rounded(low), "high": rounded(high),
            "samples": [rounded(sample) for sample in self.samples],
        }  # fmt: skip


def rate(name: str, unit: str, amount: float, seconds: Sequence[float]) -> Metric:
    """`amount` of something in each of these times."""
    return Metric(name, unit, "higher", tuple(amount / max(one, 1e-9) for one in seconds))


def duration(name: str, seconds: Sequence[float], unit: str = "s", factor: float = 1.0) -> Metric:
    return Metric(name, unit, "lower", tuple(one * factor for one in seconds))


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile, each within what was seen; one sample is all three."""
    if len(samples) == 1:
        return samples[0], samples[0], samples[0]
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, middle, high


def rounded(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")


def nothing() -> None:
    """What there is to wait for on the CPU."""


def seconds(
    body: Callable[[], object], repeats: int, warm_up: int = 1, wait: Callable[[], object] = nothing
) -> list[float]:
    """How long each run took. `wait` returns when the device has done what it was given: a GPU goes on alone."""
    for _ in range(warm_up):
        body()
    taken = []
    for _ in range(repeats):
        wait()
        started = time.perf_counter()
        body()
        wait()
        taken.append(time.perf_counter() - started)
    return taken


def waiting_for(device: str) -> Callable[[], object]:
    """What returns when this device has nothing left to do."""
    if device == "cpu":
        return nothing
    import torch

    wait: Callable[[], object] = torch.cuda.synchronize
    return wait
