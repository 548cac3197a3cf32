"""The tag promises one CUDA and torch was built for another: the driver check of the whole fleet was made for the
wrong number."""

from __future__ import annotations

from ..check import Check, Failure, Figures, Image, import_torch


def run(image: Image) -> Figures:
    torch = import_torch()
    if torch.version.cuda != image.cuda:
        raise Failure(
            found=f"torch {torch.__version__} is built for CUDA {torch.version.cuda or 'none (CPU only)'}",
            expected=f"CUDA {image.cuda or 'none (CPU only)'}",
            because="torch came from another index or variant than the tag says",
            fix="build the image again from its lock",
            on_gpu="a driver that is new enough for the tag may be too old for this torch",
        )
    return {"torch": str(torch.__version__), "cuda": torch.version.cuda}


CHECK = Check("cuda-tag", "static", run, covers=("torch",), applies=lambda image: image.has("torch"), needs=("lock",))
