"""A run that was killed and goes on from its checkpoint as another run: the optimiser's moments, the learning rate or
the random numbers are lost or changed on the way through the file, and nothing says so."""

from __future__ import annotations

import inspect
import pickle
import random
from importlib import import_module
from pathlib import Path
from typing import Any

from ..check import Check, Failure, Figures, Image, installed, progress

BEFORE, AFTER = 6, 6
"""Steps before and after the checkpoint."""

FILE = Path("checkpoint.pt")


class Run:
    """A training with everything that a checkpoint must carry: moments, a schedule, running averages, dropout."""

    def __init__(self, seed: int) -> None:
        import torch
        from torch import nn

        torch.manual_seed(seed)
        random.seed(seed)
        self.model = nn.Sequential(
            nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4)
        )  # fmt: skip
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimiser, step_size=4, gamma=0.5)

    def train(self, steps: int) -> list[float]:
        import torch

        losses = []
        for _ in range(steps):
            inputs = torch.randn(8, 16) * random.uniform(0.5, 1.5)
            loss = (self.model(inputs) - inputs[:, :4]).square().mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            losses.append(loss.item())
        return losses

    def state(self) -> dict[str, Any]:
        import torch

        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "python_rng": random.getstate(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        import torch

        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["torch_rng"])
        random.setstate(state["python_rng"])


def run(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    first = Run(seed=1)
    first.train(BEFORE)
    progress("saving")
    torch.save(first.state(), FILE)
    uninterrupted = first.train(AFTER)
    end = _flat(first.state())
    progress("loading")
    state, weights_only = load()
    second = Run(seed=2)
    second.restore(state)
    progress("going on")
    resumed = second.train(AFTER)
    wrong = differences(end, _flat(second.state()))
    if resumed != uninterrupted or wrong:
        step = next((n for n in range(AFTER) if uninterrupted[n] != resumed[n]), AFTER)
        raise Failure(
            found=f"after {step} equal steps the resumed run differs; {_some(wrong)}",
            expected="bit for bit the run that was not interrupted",
            because="torch.save, torch.load or a load_state_dict loses or changes what it is given",
        )
    figures: Figures = {"values": len(end), "bytes": FILE.stat().st_size, "weights_only": weights_only}
    if installed("safetensors"):
        progress("safetensors")
        figures["safetensors"] = _safetensors(first.model.state_dict())
    return figures


def load() -> tuple[dict[str, Any], bool]:
    """The checkpoint, and whether it was read without running code that is in it."""
    import torch

    if "weights_only" in inspect.signature(torch.load).parameters:
        try:
            return torch.load(FILE, map_location="cpu", weights_only=True), True
        except (pickle.UnpicklingError, RuntimeError) as error:
            # Since 2.6 it is what torch.load does unless told otherwise; before that it knew fewer types.
            if _version(torch.__version__) >= (2, 6):
                raise Failure(
                    found=f"torch.load: {type(error).__name__}: {str(error)[:160]}",
                    expected="states of model, optimiser, schedule and random numbers load with weights_only=True",
                    because="it is the default of this torch: every resumed run stops here",
                ) from error
    return torch.load(FILE, map_location="cpu"), False


def _safetensors(state: dict[str, Any]) -> int:
    """How many tensors went through a file and came back, of every kind that a model is made of."""
    import torch

    safetensors = import_module("safetensors.torch")
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)
    tensors = {name: value.contiguous() for name, value in state.items()}
    tensors.update({str(kind): torch.arange(-3, 60).remainder(7).to(kind) for kind in kinds})
    safetensors.save_file(tensors, "model.safetensors", metadata={"format": "pt"})
    wrong = differences(_flat(tensors), _flat(safetensors.load_file("model.safetensors")))
    if wrong:
        raise Failure(
            found=f"through a safetensors file: {_some(wrong)}",
            expected="the same names, kinds and bits",
            because="safetensors does not fit this torch",
            fix="take the versions that the facts allow: imagekit lock",
        )
    return len(tensors)


def _flat(state: Any, name: str = "") -> dict[str, Any]:
    """Every leaf by its path. A tensor is its kind, its shape and its bytes: equal means equal in every bit."""
    import torch

    if isinstance(state, torch.Tensor):
        flat = state.detach().contiguous().reshape(-1)
        raw = bytes(flat.view(torch.uint8).tolist())
        return {name: (str(state.dtype), tuple(state.shape), raw)}
    if isinstance(state, dict):
        pairs = [(str(key), value) for key, value in state.items()]
    elif isinstance(state, (list, tuple)):
        pairs = [(str(key), value) for key, value in enumerate(state)]
    else:
        return {name: state}
    return {path: leaf for key, value in pairs for path, leaf in _flat(value, f"{name}/{key}").items()}


def differences(meant: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """The paths at which two flat states differ, or that only one of them has."""
    return [path for path in dict.fromkeys((*meant, *got)) if path not in meant or meant.get(path) != got.get(path)]


def _some(paths: list[str]) -> str:
    shown = ", ".join(path.lstrip("/") for path in paths[:4])
    return f"{len(paths)} values differ: {shown}{' and more' if len(paths) > 4 else ''}"


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


CHECK = Check(
    "checkpoint", "cpu", run, covers=("torch", "safetensors", "numpy"), applies=lambda image: image.real_torch
)
