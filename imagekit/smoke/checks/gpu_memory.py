"""Memory of the GPU that cannot be had or is not given back: the second model of a job does not fit, or an evaluation
beside a training."""

from __future__ import annotations

from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, Skip

BLOCK = 2**30
TRIES = 3
"""The driver's figure is the whole GPU's: another process on it may move it once, not three times alike."""


def given_back(image: Image) -> Figures:
    import torch

    gpu.stays(torch.zeros(1, device="cuda"), "cuda", "a tensor")  # the context takes its share before we look
    free, total = torch.cuda.mem_get_info()
    size = min(BLOCK, free // 2)
    if size < 2**26:
        raise Skip(f"{free >> 20} MB free on this GPU: something else uses it")
    for _ in range(TRIES):
        figures = _round(torch, size)
        if figures["taken_mb"] >= figures["asked_mb"] * 0.9 and figures["returned_mb"] >= figures["asked_mb"] * 0.9:
            return {"total_mb": total >> 20, "free_mb": free >> 20, **figures}
    raise Failure(
        found=f"of {figures['asked_mb']} MB the driver saw {figures['taken_mb']} taken, {figures['returned_mb']} back",
        expected="all of it, after empty_cache()",
        because="an allocator that keeps it (PYTORCH_CUDA_ALLOC_CONF), or another process that grows on this GPU",
    )


def _round(torch: Any, size: int) -> Figures:
    before = torch.cuda.mem_get_info()[0]
    block = gpu.stays(torch.full((size,), 7, dtype=torch.uint8, device="cuda"), "cuda", "a block")
    if int(block[-1]) != 7 or torch.cuda.memory_allocated() < size:
        raise Failure(found="a block that is not what it was filled with, or not counted", expected="sevens")
    during = torch.cuda.mem_get_info()[0]
    del block
    torch.cuda.synchronize()
    kept = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    if torch.cuda.memory_reserved() > max(kept - size // 2, 0):
        raise Failure(
            found=f"{torch.cuda.memory_reserved() >> 20} MB still reserved after empty_cache()",
            expected=f"{size >> 20} MB less than the {kept >> 20} before it",
        )
    after = torch.cuda.mem_get_info()[0]
    return {"asked_mb": size >> 20, "taken_mb": (before - during) >> 20, "returned_mb": (after - during) >> 20}


def exhausted(image: Image) -> Figures:
    import torch

    total = torch.cuda.mem_get_info()[1]
    small = gpu.stays(torch.arange(1024.0, device="cuda"), "cuda", "a tensor")
    try:
        torch.empty(2 * total, dtype=torch.uint8, device="cuda")
    except torch.cuda.OutOfMemoryError as error:
        said = str(error).splitlines()[0]
    else:
        raise Failure(found=f"{2 * total >> 20} MB allocated on a GPU of {total >> 20}", expected="OutOfMemoryError")
    torch.cuda.empty_cache()
    summed = gpu.stays(torch.ones(2**20, device="cuda").sum(), "cuda", "a sum").item()
    if summed != 2**20 or not torch.equal(small.cpu(), torch.arange(1024.0)):
        raise Failure(found="wrong numbers after an allocation that failed", expected="the GPU goes on as before")
    return {"caught": said[:120]}


CHECK = Check("gpu-memory", "gpu", given_back, covers=("torch",), applies=gpu.promised)
EXHAUSTED = Check(
    "gpu-out-of-memory",
    "gpu",
    exhausted,
    covers=("torch",),
    applies=gpu.promised,
    about="a batch that is too large cannot be caught, and what comes after it is wrong",
)
