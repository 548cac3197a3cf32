"""The largest batch of a training step that a GPU holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..bench import Bench, Outcome, Setting, needs_gpus
from ..measure import Metric
from . import resnet18

SIDE, START, MOST = 224, 8, 1 << 14


def run(setting: Setting) -> Outcome:
    import torch

    network = resnet18.build().to("cuda").train()

    def fits(batch: int) -> bool:
        try:
            resnet18.step_of(network, network, batch, "cuda", SIDE)()
            torch.cuda.synchronize()
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            network.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        return True

    batch = largest(fits, START, MOST, steps=3 if setting.quick else 6)
    free, total = torch.cuda.mem_get_info()
    return Outcome(
        [Metric("cuda largest batch", "images", "higher", (float(batch),))],
        {"network": "resnet18, stem for small pictures", "side": SIDE, "dtype": "float32", **_gigabytes(free, total)},
    )


def largest(fits: Callable[[int], bool], start: int, most: int, steps: int) -> int:
    """Double until it does not fit, then halve the gap `steps` times; 0: not even the first one fits."""
    good, size = 0, start
    while size <= most and fits(size):
        good, size = size, size * 2
    if not good or size > most:
        return good
    bad = size
    for _ in range(steps):
        middle = (good + bad) // 2
        if middle in (good, bad):
            break
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _gigabytes(free: int, total: int) -> dict[str, Any]:
    return {"free_gb": round(free / 2**30, 1), "total_gb": round(total / 2**30, 1)}


BENCH = Bench("batch", run, "the largest batch of 3 x 224 x 224 pictures in a training step", applies=needs_gpus(1))
