"""torch.compile needs a compiler, headers, a user name and a place to write: it fails at the first step of a job when
one is missing."""

from __future__ import annotations

import shutil

from ..check import Check, Failure, Figures, Image, shorten


def run(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs = torch.randn(64, 64)

    def body(values: torch.Tensor) -> torch.Tensor:
        return (torch.sin(values) * 2 + torch.relu(values)).sum(dim=1)

    try:
        import torch._inductor.config as inductor

        inductor.compile_threads = 1  # a pool of compilers for one kernel costs more than it saves
        got = torch.compile(body)(inputs)
    except Exception as error:  # the compiler's errors have no common class
        raise Failure(
            found=shorten(f"{type(error).__name__}: {error}"),
            expected="a compiled function",
            because="" if shutil.which("g++") else "g++ is not on PATH",
            fix="keep the feature compile: g++, Python's headers, USER and the cache variables",
            on_gpu="the same for everything that Inductor leaves to the CPU",
        ) from error
    off = (got - body(inputs)).abs().max().item()
    if off > 1e-4:
        raise Failure(found=f"results differ by {off:.2e}", expected="at most 1e-4")
    return {"largest_difference": off}


def _applies(image: Image) -> bool:
    return image.real_torch and "compile" in image.features and int(image.lock["torch"].split(".")[0]) >= 2


CHECK = Check("compile-cpu", "cpu", run, covers=("torch", "triton", "setuptools", "sympy"), applies=_applies, limit=180)
