"""What the benchmarks of one run found, and where they ran."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imagekit import amounts


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    better: str
    """higher | lower"""
    median: float
    low: float
    high: float
    """Quartiles: half of the samples are between them."""
    samples: tuple[float, ...] = ()

    def text(self) -> str:
        return f"{amounts.number(self.median)} {self.unit}"


@dataclass(frozen=True)
class Bench:
    name: str
    status: str
    """OK | SKIP | ERROR"""
    seconds: float
    reason: str = ""
    metrics: tuple[Metric, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)
    """Sizes, versions and settings: what somebody needs to compare."""


@dataclass(frozen=True)
class Measured:
    image: str
    """Image id."""
    reference: str
    time: str
    """ISO, UTC."""
    host: str
    seconds: float
    environment: Mapping[str, Any]
    benches: tuple[Bench, ...]
    problem: str = ""
    lock: str = ""
    profile: str = ""
    program: str = ""
    """Digest of the programs that measured."""
    only: tuple[str, ...] = ()
    """The benchmarks that were asked for; empty for all."""

    def asked(self, metric: str) -> bool:
        """Whether a figure, by its full name, is of a benchmark that was asked for."""
        return not self.only or metric.partition("/")[0] in self.only

    def metrics(self) -> Iterator[tuple[str, Metric]]:
        """Every metric by its full name: resnet18/cpu eager training."""
        for bench in self.benches:
            for metric in bench.metrics:
                yield f"{bench.name}/{metric.name}", metric

    @property
    def bad(self) -> list[str]:
        return [f"{bench.name}: {bench.reason}" for bench in self.benches if bench.status == "ERROR"]

    @property
    def machine(self) -> str:
        """The kind of machine, for people; figures of two kinds are not compared."""
        gpus = self.environment.get("gpus") or ()
        return ", ".join([str(self.environment.get("cpu")), f"{self.environment.get('cores')} cores", *map(str, gpus)])


def parse(line: str) -> Bench:
    """One line of the program in the image. Raises ValueError, KeyError or TypeError for anything else."""
    return _bench(json.loads(line))


def _bench(row: Mapping[str, Any]) -> Bench:
    metrics = tuple(
        Metric(
            str(m["name"]), str(m["unit"]), str(m["better"]), float(m["median"]), float(m["low"]), float(m["high"]),
            tuple(map(float, m.get("samples") or ())),
        )
        for m in row["metrics"]
    )  # fmt: skip
    if not all(math.isfinite(value) for metric in metrics for value in (metric.median, metric.low, metric.high)):
        raise ValueError("a figure that is no number")
    name, status, seconds = str(row["bench"]), str(row["status"]), float(row["seconds"])
    return Bench(name, status, seconds, str(row.get("reason") or ""), metrics, dict(row.get("notes") or {}))


def as_json(run: Measured) -> dict[str, object]:
    benches = [{"bench": row.pop("name"), **row} for row in (asdict(bench) for bench in run.benches)]
    return {"kind": "bench", **{k: v for k, v in run.__dict__.items() if k != "benches"}, "benches": benches}


def from_json(raw: Mapping[str, Any]) -> Measured:
    """What `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    texts = ("image", "reference", "time", "host", "problem", "lock", "profile", "program")
    benches = tuple(_bench(row) for row in raw["benches"])
    where = dict(raw["environment"])
    return Measured(
        seconds=float(raw["seconds"]), environment=where, benches=benches,
        only=tuple(map(str, raw.get("only") or ())), **{name: str(raw.get(name) or "") for name in texts},
    )  # fmt: skip
