"""The GPU is there and torch cannot use it, or computes something else than the CPU does."""

from __future__ import annotations

import ctypes
import math
from typing import Any

from ..check import Check, Failure, Figures, Image
from . import training

TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 3e-3}
"""Relative error of a 512 x 512 product, measured against the largest value of the float64 result."""


def available(image: Image) -> Figures:
    import torch

    driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not torch.cuda.is_available() or torch.cuda.device_count() != count.value:
        raise Failure(
            found=f"torch sees {torch.cuda.device_count()} GPUs",
            expected=f"{count.value}, as the driver does",
            because="the driver is older than this torch needs, or torch is built without CUDA",
            fix=f"driver {image.facts.get('min_driver')} or newer on this node",
        )
    compiled, names = torch.cuda.get_arch_list(), list[str]()
    for index in range(count.value):
        major, minor = torch.cuda.get_device_capability(index)
        names.append(f"{torch.cuda.get_device_name(index)} (sm_{major}{minor})")
        torch.ones(8, device=f"cuda:{index}").sum().item()
    return {"gpus": names, "compiled": compiled}


def matmul(image: Image) -> Figures:
    import torch

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = torch.randn(512, 512, dtype=torch.float64), torch.randn(512, 512, dtype=torch.float64)
    exact = left @ right
    figures: Figures = {}
    for index in range(torch.cuda.device_count()):
        for name, tolerance in TOLERANCES.items():
            kind, device = getattr(torch, name), f"cuda:{index}"
            if name == "bfloat16" and torch.cuda.get_device_capability(index)[0] < 8:
                continue
            product = (left.to(device, kind) @ right.to(device, kind)).double().cpu()
            off = ((product - exact).abs().max() / exact.abs().max()).item()
            figures[f"{device} {name}"] = off
            if not off <= tolerance:
                raise Failure(found=f"{device} {name}: off by {off:.1e}", expected=f"at most {tolerance:.0e}")
    return figures


def convolution(image: Image) -> Figures:
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    layer, inputs = torch.nn.Conv2d(8, 16, 3, padding=1), torch.randn(2, 8, 32, 32)
    with torch.no_grad():
        exact = layer(inputs)
        got = layer.cuda()(inputs.cuda()).cpu()
    off = (got - exact).abs().max().item()
    if not off <= 1e-4:
        raise Failure(found=f"a convolution differs from the CPU's by {off:.1e}", expected="at most 1e-4")
    return {"cudnn": torch.backends.cudnn.version(), "largest_difference": off}


def amp(image: Image) -> Figures:
    import torch

    network, (inputs, wanted) = training.model().cuda(), training.data().tensors
    inputs, wanted = inputs.cuda(), wanted.cuda()
    optimiser, losses = torch.optim.AdamW(network.parameters(), lr=1e-2), list[float]()
    scaler: Any = torch.cuda.amp.GradScaler()
    for _ in range(training.STEPS):
        optimiser.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = torch.nn.functional.mse_loss(network(inputs), wanted)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        losses.append(loss.item())
    if not all(map(math.isfinite, losses)) or not losses[-1] < losses[0] / 2:
        raise Failure(found=f"loss {losses[0]:.4f} -> {losses[-1]:.4f}", expected="finite, and less than half")
    return {"first_loss": losses[0], "last_loss": losses[-1], "peak_mb": torch.cuda.max_memory_allocated() // 2**20}


def streams(image: Image) -> Figures:
    import torch

    side, source = torch.cuda.Stream(), torch.arange(1 << 20, dtype=torch.float32).pin_memory()
    with torch.cuda.stream(side):
        doubled = source.to("cuda", non_blocking=True) * 2
    torch.cuda.current_stream().wait_stream(side)
    if not torch.equal(doubled.cpu(), source * 2):
        raise Failure(found="a copy on a second stream came out wrong", expected="twice its source")
    return {"elements": source.numel()}


def compiled(image: Image) -> Figures:
    import torch

    if torch.cuda.get_device_capability(0)[0] < 7:
        return {"not_for": torch.cuda.get_device_name(0)}  # Triton starts with compute capability 7.0
    inputs = torch.randn(64, 64, device="cuda")

    def body(values: torch.Tensor) -> torch.Tensor:
        return (torch.sin(values) * 2 + torch.relu(values)).sum(dim=1)

    off = (torch.compile(body)(inputs) - body(inputs)).abs().max().item()
    if not off <= 1e-4:
        raise Failure(found=f"results differ by {off:.1e}", expected="at most 1e-4")
    return {"largest_difference": off}


def _cuda(image: Image) -> bool:
    return image.real_torch and bool(image.cuda)


CHECKS = (
    Check("gpu-available", "gpu", available, covers=("torch",), applies=_cuda, about="torch sees every GPU"),
    Check("gpu-matmul", "gpu", matmul, covers=("torch",), applies=_cuda, about="products against float64"),
    Check("gpu-convolution", "gpu", convolution, covers=("torch",), applies=_cuda, about="cuDNN against the CPU"),
    Check("gpu-amp", "gpu", amp, covers=("torch",), applies=_cuda, about="mixed precision training"),
    Check("gpu-streams", "gpu", streams, covers=("torch",), applies=_cuda, about="pinned memory and streams"),
    Check(
        "gpu-compile",
        "gpu",
        compiled,
        covers=("torch", "triton"),
        applies=lambda image: _cuda(image) and "compile" in image.features,
        limit=180,
        about="torch.compile through Triton",
    ),
)
