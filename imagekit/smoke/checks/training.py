"""Imports that work and a training loop that does not: the loader's workers, shared memory, autograd or the
optimiser."""

from __future__ import annotations

from typing import Any

from ..check import Check, Failure, Figures, Image

STEPS = 40


def data() -> Any:
    """A data set that a line of arithmetic explains; its tensors travel through shared memory."""
    import torch

    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    return torch.utils.data.TensorDataset(inputs, torch.tanh(inputs @ torch.randn(16, 4)))


def model() -> Any:
    import torch

    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))


def run(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    network, loss_of, losses = model(), torch.nn.MSELoss(), list[float]()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    loader = torch.utils.data.DataLoader(data(), batch_size=64, num_workers=2, persistent_workers=True, timeout=30)
    while len(losses) < STEPS:
        for inputs, wanted in loader:
            optimiser.zero_grad()
            loss = loss_of(network(inputs), wanted)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    if not losses[-1] < losses[0] / 2:
        raise Failure(
            found=f"loss {losses[0]:.4f} -> {losses[-1]:.4f} in {len(losses)} steps",
            expected="less than half of it",
            because="gradients or the optimiser are wrong on this CPU",
        )
    return {"first_loss": round(losses[0], 4), "last_loss": round(losses[-1], 4), "steps": len(losses), "workers": 2}


CHECK = Check("training", "cpu", run, covers=("torch", "numpy"), applies=lambda image: image.real_torch)
