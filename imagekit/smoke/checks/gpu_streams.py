"""Copies beside the computation that bring yesterday's batch: pinned memory, streams or their events do not do what
they say."""

from __future__ import annotations

from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image

ELEMENTS, ROUNDS = 1 << 22, 8


def run(image: Image) -> Figures:
    import torch

    _copies(torch)
    _order(torch)
    return _overlap(torch)


def _copies(torch: Any) -> None:
    """There and back without waiting, from pinned memory and from the usual kind."""
    pinned, plain = torch.arange(ELEMENTS, dtype=torch.float32).pin_memory(), torch.arange(ELEMENTS).float()
    if not pinned.is_pinned() or plain.is_pinned():
        raise Failure(found=f"is_pinned() is {pinned.is_pinned()} after pin_memory()", expected="True, and only then")
    for name, source in (("pinned", pinned), ("pageable", plain)):
        there = gpu.stays(source.to("cuda", non_blocking=True), "cuda", f"a copy of {name} memory")
        back = torch.empty_like(plain).pin_memory()
        back.copy_(there * 2, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        _same(torch, back, plain * 2, f"a copy of {name} memory there and back")


def _order(torch: Any) -> None:
    """A side stream copies the next batch while the usual one computes, and an event says when it is there."""
    side, there = torch.cuda.Stream(), torch.cuda.Event()
    busy, total = torch.ones(1024, 1024, device="cuda"), torch.zeros(ELEMENTS, device="cuda")
    batches = [torch.full((ELEMENTS,), float(number)).pin_memory() for number in range(ROUNDS)]
    side.wait_stream(torch.cuda.current_stream())
    for batch in batches:
        with torch.cuda.stream(side):
            moved = batch.to("cuda", non_blocking=True)
            there.record(side)
        busy = busy @ busy / 1024
        torch.cuda.current_stream().wait_event(there)
        moved.record_stream(torch.cuda.current_stream())
        total += moved
        side.wait_stream(torch.cuda.current_stream())  # the event is used again
    _same(torch, total.cpu(), torch.full((ELEMENTS,), float(sum(range(ROUNDS)))), f"the sum of {ROUNDS} batches")


def _overlap(torch: Any) -> Figures:
    """How much of the shorter of a copy and a computation is hidden behind the other one: 1 is all of it."""
    side, batch = torch.cuda.Stream(), torch.ones(16 * ELEMENTS).pin_memory()
    target, factor = torch.empty(16 * ELEMENTS, device="cuda"), torch.ones(4096, 4096, device="cuda")

    def copy() -> None:
        target.copy_(batch, non_blocking=True)

    def compute() -> None:
        for _ in range(4):
            torch.mm(factor, factor)

    def both() -> None:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            copy()
        compute()
        torch.cuda.current_stream().wait_stream(side)

    alone, other, together = (_milliseconds(torch, body) for body in (copy, compute, both))
    hidden = (alone + other - together) / max(min(alone, other), 1e-6)
    return {
        "copy_ms": round(alone, 3),
        "compute_ms": round(other, 3),
        "both_ms": round(together, 3),
        "overlap": round(hidden, 2),
        "copy_gb_per_s": round(batch.numel() * 4 / alone / 1e6, 1),
    }


def _milliseconds(torch: Any, body: Any) -> float:
    body()
    torch.cuda.synchronize()
    taken = []
    for _ in range(3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        body()
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end))
    return float(min(taken))


def _same(torch: Any, got: Any, wanted: Any, what: str) -> None:
    if not torch.equal(got, wanted):
        wrong = int((got != wanted).sum())
        raise Failure(found=f"{what} came out wrong: {wrong} of {wanted.numel()} values", expected="every value")


CHECK = Check("gpu-streams", "gpu", run, covers=("torch",), applies=gpu.promised, limit=120)
