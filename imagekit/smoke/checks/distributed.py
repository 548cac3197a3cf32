"""Processes that seem to train together: gradients that are not averaged give a model per process, and each loss looks
as it should."""

from __future__ import annotations

import time
from typing import Any

from .. import gpu, ranks
from ..check import Check, Failure, Figures, Image
from . import training

COUNT, LARGE = 2, 1 << 20
"""Ranks, and float32 values in the sum that is timed, here on the CPU."""

TOLERANCE = 1e-5
"""Of weights after one step: the same sums in another order."""


def run(image: Image) -> Figures:
    summed, trained = ranks.run(_sum, COUNT, "gloo"), ranks.run(data_parallel, COUNT, "gloo")
    return {"ranks": COUNT, **worst(summed), **worst(trained)}


def worst(said: list[Figures]) -> Figures:
    """Of every rank's figures the largest; what is no number is left out."""
    return {name: max(one[name] for one in said) for name in said[0] if isinstance(said[0][name], float)}


def _sum(device: str, rank: int, count: int) -> Figures:
    return all_reduce(device, rank, count, LARGE)


def all_reduce(device: str, rank: int, count: int, large: int) -> Figures:
    """Sums of small whole numbers, which every type holds exactly; then how fast a large one is."""
    import torch

    for name in ("float32", "float16", "int64"):
        for size in (1, 1000, 100003):
            base = torch.arange(size, device=device) % 5
            values = (base + rank).to(getattr(torch, name))
            torch.distributed.all_reduce(values)
            gpu.stays(values, device, "a sum")
            wanted = (base * count + count * (count - 1) // 2).to(values.dtype)
            if not torch.equal(values, wanted):
                wrong = int((values != wanted).sum())
                raise Failure(
                    found=f"{wrong} of {size} sums over {count} ranks in {name} are wrong",
                    expected="the sum of what the ranks gave",
                )
    seconds, size = _seconds(torch, device, large), large * 4
    # bus bandwidth, as nccl-tests tells it: what a link carries, whatever the number of ranks
    return {
        "sum_mb": size / 2**20,
        "gb_per_s": round(size / seconds / 1e9, 2),
        "bus_gb_per_s": round(size / seconds / 1e9 * 2 * (count - 1) / count, 2),
    }


def _seconds(torch: Any, device: str, large: int, rounds: int = 5) -> float:
    values = torch.zeros(large, device=device)
    for _ in range(2):
        torch.distributed.all_reduce(values)
    wait(torch, device)
    torch.distributed.barrier()
    started = time.perf_counter()
    for _ in range(rounds):
        torch.distributed.all_reduce(values)
    wait(torch, device)
    return (time.perf_counter() - started) / rounds


def wait(torch: Any, device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def data_parallel(device: str, rank: int, count: int) -> Figures:
    """One step of DDP on a slice of the data each, from weights that differ: DDP must take rank 0's."""
    import torch

    network = training.model().to(device)
    if rank:
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(rank)
    parallel = torch.nn.parallel.DistributedDataParallel(network, device_ids=[device] if device != "cpu" else None)
    loss = one_step(torch, parallel, device, rank, count)
    return {"ddp_loss": loss, "ddp_off": compare(torch, list(network.parameters()), device, count, "DDP")}


def one_step(torch: Any, network: Any, device: str, rank: int, count: int) -> float:
    """SGD, so that weights move by the gradients alone; equal slices, so that means of means are right."""
    inputs, wanted = (slice_of(part, rank, count).to(device) for part in training.data().tensors)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = torch.nn.functional.mse_loss(network(inputs), wanted)
    gpu.stays(loss, device, "the loss")
    loss.backward()
    optimiser.step()
    return float(loss.item())


def slice_of(values: Any, rank: int, count: int) -> Any:
    size = len(values) // count
    return values[rank * size : (rank + 1) * size]


def compare(torch: Any, weights: list[Any], device: str, count: int, what: str) -> float:
    """The largest difference to one process that makes the same step alone; a Failure when ranks differ at all."""
    mine = torch.cat([gpu.stays(weight.detach(), device, "a weight").reshape(-1) for weight in weights])
    every = [torch.empty_like(mine) for _ in range(count)]
    torch.distributed.all_gather(every, mine)
    if not all(torch.equal(other, every[0]) for other in every):
        raise Failure(found=f"after a step of {what} the ranks hold different weights", expected="the same bits")
    alone = training.model().to(device)
    inputs, wanted = (part[: len(part) // count * count].to(device) for part in training.data().tensors)
    optimiser = torch.optim.SGD(alone.parameters(), lr=0.1)
    torch.nn.functional.mse_loss(alone(inputs), wanted).backward()
    optimiser.step()
    off = float((mine - torch.cat([weight.detach().reshape(-1) for weight in alone.parameters()])).abs().max())
    if not off <= TOLERANCE:
        raise Failure(
            found=f"after a step of {what} on {count} ranks weights are off by {off:.1e}",
            expected=f"at most {TOLERANCE:.0e} from one process with all the data",
            because="gradients were not averaged over the ranks",
        )
    return off


CHECK = Check("distributed", "cpu", run, covers=("torch", "numpy"), applies=lambda image: image.real_torch, limit=120)
