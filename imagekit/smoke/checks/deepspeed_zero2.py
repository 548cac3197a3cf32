"""deepspeed whose engine starts and whose ZeRO does not train: the optimiser's state is split, and the loss stays or
becomes NaN."""

from __future__ import annotations

import importlib
import math
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, Skip, progress, shorten
from . import deepspeed_config

BATCH, STEPS, STAGE = 8, 10, 2
CONFIG = {
    "train_batch_size": BATCH,
    "zero_optimization": {"stage": STAGE},
    "zero_allow_untested_optimizer": True,
}
"""The optimiser is torch's own: those of deepspeed are compiled at first use, and on a GPU that takes nvcc."""


def on_gpu(image: Image) -> Figures:
    import torch

    return trained(torch, deepspeed_config.imported(), "cuda")


def on_cpu(image: Image) -> Figures:
    import torch

    os.environ["DS_ACCELERATOR"] = "cpu"
    progress("import deepspeed")
    try:
        deepspeed = importlib.import_module("deepspeed")
    except Exception as error:
        if "intel_extension_for_pytorch" not in str(error):
            raise
        version = next((package.version for package in image.packages if package.name == "deepspeed"), "")
        raise Skip(
            f"deepspeed {version} starts an engine on a GPU only: on a CPU it needs intel_extension_for_pytorch. "
            "Without a GPU its import and configuration are shown and no training"
        ) from error
    torch.set_num_threads(1)
    return trained(torch, deepspeed, "cpu")


def trained(torch: Any, deepspeed: Any, device: str) -> Figures:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    os.environ.setdefault("MAX_JOBS", "1")
    os.environ["TORCH_EXTENSIONS_DIR"] = str(Path("extensions").absolute())  # one in a cache would prove nothing
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 4))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    inputs, wanted = torch.randn(BATCH, 16), torch.zeros(BATCH, 4)
    progress("deepspeed.initialize with ZeRO-2")
    engine = initialised(deepspeed, network, optimiser)
    gpu.stays(next(engine.parameters()), device, "deepspeed's engine")
    inputs, wanted, losses = inputs.to(engine.device), wanted.to(engine.device), list[float]()
    progress("training with ZeRO-2")
    for _ in range(STEPS):
        loss = torch.nn.functional.mse_loss(engine(inputs), wanted)
        engine.backward(loss)
        engine.step()
        losses.append(loss.item())
    judge(engine.zero_optimization_stage(), losses)
    optimised = type(engine.optimizer).__name__
    return {"device": str(engine.device), "optimizer": optimised, "first_loss": losses[0], "last_loss": losses[-1]}


def initialised(deepspeed: Any, network: Any, optimiser: Any) -> Any:
    try:
        return deepspeed.initialize(model=network, optimizer=optimiser, config=dict(CONFIG))[0]
    except Exception as error:  # it compiles an op, starts a process group and splits the optimiser
        raise Failure(
            found=shorten(f"deepspeed.initialize: {type(error).__name__}: {error}"),
            expected="an engine with ZeRO-2 and torch's own optimiser",
            because="g++ or ninja is missing, or deepspeed and torch do not fit together",
            fix="the feature deepspeed brings g++ and ninja; imagekit lock names versions that fit",
        ) from error


def judge(stage: int, losses: Sequence[float]) -> None:
    if stage != STAGE:
        raise Failure(found=f"ZeRO stage {stage}", expected=f"{STAGE}, as configured")
    if not all(map(math.isfinite, losses)) or not losses[-1] < losses[0]:
        raise Failure(
            found=f"loss {losses[0]:.4f} -> {losses[-1]:.4f} in {len(losses)} steps", expected="finite, and less"
        )


def _has(image: Image) -> bool:
    return image.has("deepspeed") and image.real_torch


CPU = Check(
    "deepspeed-zero2-cpu",
    "cpu",
    on_cpu,
    covers=deepspeed_config.COVERS,
    applies=lambda image: _has(image) and "deepspeed" in image.features,
    limit=300,
)
ON_GPU = Check(
    "deepspeed-zero2",
    "gpu",
    on_gpu,
    covers=deepspeed_config.COVERS,
    applies=lambda image: _has(image) and bool(image.cuda),
    limit=300,
)
