"""A model that learns on the CPU and not on the GPU, in full or in mixed precision: days of a cluster for a loss that
stays where it was."""

from __future__ import annotations

import math
from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image
from . import training

ENOUGH = 0.95
"""Accuracy on four classes that a line separates; chance is 0.25 and the CPU reaches 0.99."""
STEPS = 150


def run(image: Image) -> Figures:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    here, there = learn("cuda"), learn("cpu")
    if not abs(here["first_loss"] - there["first_loss"]) <= 1e-4:
        raise Failure(
            found=f"first loss {here['first_loss']:.6f} on the GPU, {there['first_loss']:.6f} on the CPU",
            expected="the same to 1e-4, as weights and data are",
        )
    return {**here, "peak_mb": torch.cuda.max_memory_allocated() >> 20}


def learn(device: str) -> Figures:
    import torch

    (inputs, targets), network = training.data().tensors, training.model().to(device)
    inputs, classes = inputs.to(device), targets.argmax(dim=1).to(device)
    optimiser, losses = torch.optim.AdamW(network.parameters(), lr=1e-2), list[float]()
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = gpu.stays(torch.nn.functional.cross_entropy(network(inputs), classes), device, "the loss")
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    for name, weight in network.named_parameters():
        gpu.stays(weight.grad, device, f"the gradient of {name}")
    right = gpu.stays(network(inputs).argmax(dim=1) == classes, device, "the comparison").float().mean().item()
    if not right >= ENOUGH:
        raise Failure(
            found=f"accuracy {right:.3f} on {device} after {STEPS} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}",
            expected=f"at least {ENOUGH}",
        )
    return {"accuracy": round(right, 4), "first_loss": losses[0], "last_loss": losses[-1], "steps": STEPS}


def amp(image: Image) -> Figures:
    import torch

    scaler = _scaler(torch, "cuda")
    figures = {f"float16 {name}": value for name, value in mixed("cuda", "float16", scaler).items()}
    if torch.cuda.get_device_capability(0)[0] < 8:
        return {**figures, "bfloat16": "not before sm_80"}
    return {**figures, **{f"bfloat16 {name}": value for name, value in mixed("cuda", "bfloat16").items()}}


def _scaler(torch: Any, device: str) -> Any:
    """torch.amp has it since 2.3; the older place warns since then."""
    return torch.amp.GradScaler(device) if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler()


def mixed(device: str, kind: str, scaler: Any = None) -> Figures:
    """Learn in that precision; with a scaler, an overflow must leave the weights alone and lower the scale."""
    import torch

    network, (inputs, wanted) = training.model().to(device), training.data().tensors
    inputs, wanted = inputs.to(device), wanted.to(device)
    optimiser, losses = torch.optim.AdamW(network.parameters(), lr=1e-2), list[float]()
    for _ in range(STEPS):
        optimiser.zero_grad()
        with torch.autocast(device.partition(":")[0], dtype=getattr(torch, kind)):
            outputs = gpu.stays(network(inputs), device, "the output")
            loss = torch.nn.functional.mse_loss(outputs.float(), wanted)
        if outputs.dtype != getattr(torch, kind):
            raise Failure(found=f"autocast computes in {outputs.dtype}", expected=kind)
        _step(scaler, loss, optimiser)
        losses.append(loss.item())
    if not all(map(math.isfinite, losses)) or not losses[-1] < losses[0] / 2:
        raise Failure(
            found=f"{kind}: loss {losses[0]:.4f} -> {losses[-1]:.4f} in {STEPS} steps",
            expected="finite, and less than half",
        )
    figures = {"first_loss": losses[0], "last_loss": losses[-1]}
    return {**figures, **_overflow(network, optimiser, scaler)} if scaler else figures


def _step(scaler: Any, loss: Any, optimiser: Any) -> None:
    if scaler is None:
        loss.backward()
        optimiser.step()
        return
    scaler.scale(loss).backward()
    scaler.step(optimiser)
    scaler.update()


def _overflow(network: Any, optimiser: Any, scaler: Any) -> Figures:
    before, scale = [weight.detach().clone() for weight in network.parameters()], scaler.get_scale()
    optimiser.zero_grad()
    loss = sum(weight.sum() for weight in network.parameters()) * math.inf
    _step(scaler, loss, optimiser)
    moved = any(not weight.equal(old) for weight, old in zip(network.parameters(), before))
    if moved or not scaler.get_scale() < scale:
        raise Failure(
            found=f"after an overflow: weights {'changed' if moved else 'kept'}, scale {scale} -> {scaler.get_scale()}",
            expected="weights kept and a smaller scale",
        )
    return {"scale": scaler.get_scale()}


CHECK = Check("gpu-training", "gpu", run, covers=("torch", "numpy"), applies=gpu.promised, limit=120)
AMP = Check("gpu-amp", "gpu", amp, covers=("torch",), applies=gpu.promised, limit=120)
