"""The GPU computes something else than the CPU does: a training that never gets as good as the paper's."""

from __future__ import annotations

from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image

TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 3e-3}
"""Relative error of a 512 x 512 product, measured against the largest value of the float64 result."""

CONVOLUTION = 1e-4
"""The same for convolutions in float32: Winograd's algorithm, which cuDNN may take, loses a digit."""


def matmul(image: Image) -> Figures:
    import torch

    figures: Figures = {}
    for index in range(torch.cuda.device_count()):
        old = torch.cuda.get_device_capability(index)[0] < 8
        kinds = [name for name in TOLERANCES if not (old and name == "bfloat16")]
        figures |= products(f"cuda:{index}", kinds)
        if old:
            figures[f"cuda:{index} bfloat16"] = "not before sm_80"
    return figures


def products(device: str, kinds: list[str]) -> Figures:
    import torch

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = torch.randn(512, 512, dtype=torch.float64), torch.randn(512, 512, dtype=torch.float64)
    exact, figures = left @ right, Figures()
    for name in kinds:
        kind = getattr(torch, name)
        product = gpu.stays(left.to(device, kind) @ right.to(device, kind), device, "a product")
        figures[f"{device} {name}"] = _judge(f"a product in {name} on {device}", product, exact, TOLERANCES[name])
    return figures


def convolution(image: Image) -> Figures:
    import torch

    if not torch.backends.cudnn.is_available():
        raise Failure(found="torch.backends.cudnn.is_available() is False", expected="cuDNN, which came with torch")
    return {"cudnn": torch.backends.cudnn.version(), **convolutions("cuda")}


def convolutions(device: str) -> Figures:
    """A picture's and a video's, forward and backward."""
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    figures = Figures()
    for layer, inputs in (
        (torch.nn.Conv2d(8, 16, 3, padding=1), torch.randn(2, 8, 32, 32)),
        (torch.nn.Conv3d(8, 16, 3, padding=1), torch.randn(2, 8, 8, 16, 16)),
    ):
        name = type(layer).__name__
        exact, slope = _both_ways(layer.double(), inputs.double())
        got, got_slope = _both_ways(layer.float().to(device), inputs.to(device))
        gpu.stays(got, device, name)
        figures[name] = _judge(f"{name} on {device}", got, exact, CONVOLUTION)
        figures[f"{name} gradient"] = _judge(f"the gradient of {name} on {device}", got_slope, slope, CONVOLUTION)
    return figures


def _both_ways(layer: Any, inputs: Any) -> tuple[Any, Any]:
    layer.zero_grad()
    outputs = layer(inputs)
    outputs.square().mean().backward()
    return outputs.detach(), layer.weight.grad.detach().clone()


def _judge(what: str, got: Any, exact: Any, tolerance: float) -> float:
    off = float((got.double().cpu() - exact.cpu()).abs().max() / exact.abs().max())
    if not off <= tolerance:
        raise Failure(
            found=f"{what}: off by {off:.1e} of its largest value",
            expected=f"at most {tolerance:.0e} against float64",
            because="a library that does not fit this GPU, TF32 that something switched on, or a GPU that is broken",
        )
    return off


MATMUL = Check("gpu-matmul", "gpu", matmul, covers=("torch",), applies=gpu.promised)
CONV = Check("gpu-convolution", "gpu", convolution, covers=("torch",), applies=gpu.promised, limit=120)
