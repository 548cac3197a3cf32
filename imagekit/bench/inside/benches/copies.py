"""How fast data gets to the GPU, back, and about in memory."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ..bench import Bench, Outcome, Setting
from ..measure import Metric, rate, seconds, waiting_for

MB = 2**20


def run(setting: Setting) -> Outcome:
    import torch

    metrics, size = list[Metric](), (64 if setting.quick else 512) * MB
    for device in setting.devices:
        metrics += _here(torch, size, setting) if device == "cpu" else _gpu(torch, size, setting)
    # a copy inside one memory reads and writes: both are counted
    return Outcome(metrics, {"mb": size // MB, "threads": torch.get_num_threads()})


def _here(torch: Any, size: int, setting: Setting) -> list[Metric]:
    left, right = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    taken = seconds(lambda: right.copy_(left), setting.repeats(20, 5))
    metrics = [rate("cpu copy by torch", "GB/s", 2 * size / 1e9, taken)]
    if find_spec("numpy"):
        import numpy

        one, other = numpy.ones(size, dtype="uint8"), numpy.zeros(size, dtype="uint8")
        taken = seconds(lambda: numpy.copyto(other, one), setting.repeats(20, 5))
        metrics.append(rate("cpu copy by numpy", "GB/s", 2 * size / 1e9, taken))
    return metrics


def _gpu(torch: Any, size: int, setting: Setting) -> list[Metric]:
    wait, repeats, metrics = waiting_for("cuda"), setting.repeats(20, 5), list[Metric]()
    there = torch.ones(size, dtype=torch.uint8, device="cuda")
    for name, host in (
        ("pageable", torch.ones(size, dtype=torch.uint8)),
        ("pinned", torch.ones(size, dtype=torch.uint8).pin_memory()),
    ):
        free = name == "pinned"
        taken = seconds(lambda: there.copy_(host, non_blocking=free), repeats, wait=wait)  # noqa: B023
        metrics.append(rate(f"cuda from {name}", "GB/s", size / 1e9, taken))
        taken = seconds(lambda: host.copy_(there, non_blocking=free), repeats, wait=wait)  # noqa: B023
        metrics.append(rate(f"cuda to {name}", "GB/s", size / 1e9, taken))
    other = torch.zeros_like(there)
    rounds = 10  # one copy takes less time than it takes to wait for it

    def inside() -> None:
        for _ in range(rounds):
            other.copy_(there)

    taken = seconds(inside, repeats, wait=wait)
    return [*metrics, rate("cuda memory", "GB/s", 2 * rounds * size / 1e9, taken)]


BENCH = Bench("copies", run, "copies to the GPU and back, pinned and not, and inside each memory, in GB/s")
