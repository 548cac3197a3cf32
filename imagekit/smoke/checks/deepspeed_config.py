"""deepspeed that installs and does not start: the wrong pydantic, ops that cannot be compiled at first use, or a torch
that its engine does not know."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, progress, shorten

BATCH, MICRO = 8, 4

SOURCE = """
#include <torch/extension.h>
torch::Tensor twice(const torch::Tensor& values) { return values * 2; }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", &twice); }
"""


def imported() -> Any:
    try:
        return importlib.import_module("deepspeed")
    except Exception as error:  # its import runs much of torch, pydantic and its own op builders
        raise Failure(
            found=shorten(f"import deepspeed: {type(error).__name__}: {error}"),
            expected="deepspeed imports without a GPU",
            because="deepspeed, torch and pydantic do not fit together",
            fix="imagekit lock names the versions that the facts know to fit",
        ) from error


def run(image: Image) -> Figures:
    deepspeed = imported()
    progress("DeepSpeedConfig")
    config = importlib.import_module("deepspeed.runtime.config").DeepSpeedConfig(
        {"train_batch_size": BATCH, "train_micro_batch_size_per_gpu": MICRO, "zero_optimization": {"stage": 2}}
    )
    accumulated = config.gradient_accumulation_steps
    if accumulated != BATCH // MICRO:
        raise Failure(
            found=f"gradient_accumulation_steps {accumulated}", expected=f"{BATCH // MICRO}, for a batch of {BATCH}"
        )
    return {
        "deepspeed": deepspeed.__version__,
        "zero_stage": int(config.zero_optimization_stage),
        "not_shown": "an engine; deepspeed-initialize and deepspeed-zero2 show one, on a GPU",
    }


def compiled(image: Image) -> Figures:
    """What every op goes through at its first use: ninja, g++ and torch's headers."""
    import torch

    os.environ.setdefault("MAX_JOBS", "1")
    source, folder = Path("twice.cpp").resolve(), Path("built").resolve()
    source.write_text(SOURCE, encoding="utf-8")
    folder.mkdir()
    progress("compiling an extension of torch")
    try:
        extension = importlib.import_module("torch.utils.cpp_extension").load(
            name="twice", sources=[str(source)], build_directory=str(folder), extra_cflags=["-O0"]
        )
    except Exception as error:  # ImportError (pkg_resources), RuntimeError (ninja, g++), OSError
        raise Failure(
            found=shorten(f"{type(error).__name__}: {error}"),
            expected="an extension of torch compiles and loads",
            because="ninja, g++, Python's headers or a setuptools that this torch knows is missing",
            fix="the feature deepspeed brings them; do not remove them in a derived image",
            on_gpu="no op of deepspeed (FusedAdam, async_io, ...) can be used",
        ) from error
    values = torch.arange(4.0)
    if not torch.equal(extension.twice(values), values * 2):
        raise Failure(found="the compiled function gives wrong numbers", expected="twice its input")
    return {"python": sys.version.split()[0], "nvcc": Path("/usr/local/cuda/bin/nvcc").exists()}


def initialised(image: Image) -> Figures:
    """One process, one GPU, torch's own Adam: the engine without any op that has to be compiled."""
    import torch

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.manual_seed(0)
    network = torch.nn.Linear(16, 4)
    config = {
        "train_batch_size": BATCH,
        "optimizer": {"type": "Adam", "params": {"lr": 1e-2, "torch_adam": True}},
        "zero_optimization": {"stage": 0},
    }
    progress("deepspeed.initialize")
    engine, *_ = imported().initialize(model=network, model_parameters=network.parameters(), config=config)
    gpu.stays(next(engine.parameters()), "cuda", "deepspeed's engine")
    inputs, wanted = torch.randn(BATCH, 16, device=engine.device), torch.zeros(BATCH, 4, device=engine.device)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.mse_loss(engine(inputs), wanted)
        engine.backward(loss)
        engine.step()
        losses.append(loss.item())
    if not losses[-1] < losses[0]:
        raise Failure(found=f"loss {losses[0]:.4f} -> {losses[-1]:.4f}", expected="it goes down")
    return {"first_loss": losses[0], "last_loss": losses[-1]}


def _has(image: Image) -> bool:
    return image.has("deepspeed") and image.real_torch


COVERS = ("deepspeed", "torch", "pydantic", "numpy", "ninja", "setuptools")

CHECK = Check("deepspeed", "cpu", run, covers=COVERS, applies=_has, limit=120)
JIT = Check(
    "deepspeed-jit",
    "cpu",
    compiled,
    covers=COVERS,
    applies=lambda image: _has(image) and "deepspeed" in image.features,
    limit=300,
)
ON_GPU = Check(
    "deepspeed-initialize",
    "gpu",
    initialised,
    covers=COVERS,
    applies=lambda image: _has(image) and bool(image.cuda),
    limit=180,
)
