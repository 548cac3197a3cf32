"""An operator in CUDA that was compiled against another torch, or not for the GPUs that the image says: an undefined
symbol, or "no kernel image is available for execution on the device", at the first training step."""

from __future__ import annotations

import importlib
from pathlib import Path

from .. import fatbin
from ..check import Check, Failure, Figures, Image, import_torch, progress, shorten


def run(image: Image) -> Figures:
    import_torch()
    figures: Figures = {}
    for name, claimed in image.facts["ops"].items():
        progress(f"import {name}")
        try:
            module = importlib.import_module(name)
        except Exception as error:  # the package's own __init__ may raise anything; a library raises ImportError
            raise Failure(
                found=shorten(f"import {name}: {type(error).__name__}: {error}"),
                expected="an op that was compiled with the image loads",
                because="it was compiled against another torch, or not at all",
                fix="build again; imagekit plan says for which GPUs it is compiled",
                on_gpu="the op is compiled when it is first used, or cannot be used",
            ) from error
        code, _ = fatbin.read(Path(str(module.__file__))).general()
        missing = sorted(set(claimed) - set(code))
        if missing:
            raise Failure(
                found=f"{name} has code for {' '.join(code) or 'no GPU'}",
                expected="the image says: " + " ".join(claimed),
                because=f"missing {' '.join(missing)}",
                fix="build again; TORCH_CUDA_ARCH_LIST of the build decides",
                on_gpu="no kernel image is available for execution on the device",
            )
        figures[name.rpartition(".")[2]] = code
    return figures


CHECK = Check(
    "compiled-ops",
    "cpu",
    run,
    covers=("deepspeed", "torch"),
    applies=lambda image: image.real_torch and bool(image.facts.get("ops")),
    limit=180,
)
