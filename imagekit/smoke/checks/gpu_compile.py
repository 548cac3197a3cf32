"""torch.compile that fails on the GPU at the first step, does so at the second clip length, or changes the numbers."""

from __future__ import annotations

import importlib
import time
from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, progress, shorten

LENGTHS = (8, 12)
"""Frames of the two clips: the second one must not break what the first one compiled."""
TOLERANCE = 1e-4
MODES = ("default", "reduce-overhead")


def run(image: Image) -> Figures:
    import torch

    if torch.cuda.get_device_capability(0)[0] < 7:
        return {"not_for": f"{torch.cuda.get_device_name(0)}: Triton starts with compute capability 7.0"}
    torch.backends.cuda.matmul.allow_tf32 = False
    return {f"{mode} {name}": value for mode in MODES for name, value in compare("cuda", mode).items()}


def compare(device: str, mode: str) -> Figures:
    """Outputs and gradients of clips of two lengths, compiled and not, three times each: CUDA graphs are recorded in
    the second call and replayed in the third."""
    import torch

    torch.manual_seed(0)
    importlib.import_module("torch._dynamo").reset()  # what one mode learned of lengths must not help the next
    eager, figures = _network(torch).to(device), Figures()
    compiled, largest = torch.compile(eager, mode=mode), 0.0
    for frames in LENGTHS:
        progress(f"torch.compile({mode}), clips of {frames} frames")
        started = time.monotonic()
        for _ in range(3):
            clips = torch.randn(4, frames, 32, device=device)
            try:
                got, slopes = _both_ways(compiled, eager, clips)
            except Exception as error:  # the compiler's errors have no common class
                raise Failure(
                    found=shorten(f"{frames} frames, mode {mode}: {type(error).__name__}: {error}"),
                    expected="a compiled model",
                    because="Triton, its C compiler or ptxas does not fit this torch or this GPU",
                    fix="keep the feature compile, and the Triton that torch came with",
                ) from error
            wanted, wanted_slopes = _both_ways(eager, eager, clips)
            gpu.stays(got, device, "the output of the compiled model")
            pairs = zip([got, *slopes], [wanted, *wanted_slopes])
            largest = max(largest, *(float((left - right).abs().max()) for left, right in pairs))
            if f"seconds_{frames}_frames" not in figures:
                figures[f"seconds_{frames}_frames"] = round(time.monotonic() - started, 2)
        if not largest <= TOLERANCE:
            raise Failure(
                found=f"{frames} frames, mode {mode}: off by {largest:.1e} from eager",
                expected=f"at most {TOLERANCE:.0e}",
            )
    return {**figures, "largest_difference": largest}


def _network(torch: Any) -> Any:
    """Frames weighted by attention and summed over time: it depends on a clip's length and not on its values."""

    class Pool(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.score, self.inner, self.outer = (torch.nn.Linear(32, size) for size in (1, 32, 8))

        def forward(self, clips: Any) -> Any:
            weights = torch.softmax(self.score(clips), dim=1)
            return self.outer((torch.nn.functional.gelu(self.inner(clips)) * weights).sum(dim=1))

    return Pool()


def _both_ways(run: Any, network: Any, clips: Any) -> tuple[Any, list[Any]]:
    network.zero_grad(set_to_none=True)
    outputs = run(clips)
    outputs.square().mean().backward()
    # copies: a CUDA graph writes into the same memory at its next replay
    return outputs.detach().clone(), [weight.grad.detach().clone() for weight in network.parameters()]


CHECK = Check(
    "gpu-compile",
    "gpu",
    run,
    covers=("torch", "triton", "setuptools", "sympy"),
    applies=lambda image: (
        gpu.promised(image) and "compile" in image.features and int(image.lock["torch"].split(".")[0]) >= 2
    ),
    limit=300,
)
