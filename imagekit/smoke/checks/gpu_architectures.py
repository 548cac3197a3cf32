"""A GPU whose architecture is not compiled in: "no kernel image is available for execution on the device" after the
pod has waited an hour for its node."""

from __future__ import annotations

from ..check import Check, Failure, Figures, Image, import_torch


def run(image: Image) -> Figures:
    torch = import_torch()
    # torch.cuda.get_arch_list() is empty wherever there is no GPU; this is what it reads when there is one.
    compiled = (torch._C._cuda_getArchFlags() or "").split()
    claimed = list(image.facts.get("gpu_architectures") or ())
    missing, surplus = sorted(set(claimed) - set(compiled)), sorted(set(compiled) - set(claimed))
    if claimed and (missing or surplus):
        raise Failure(
            found="compiled in: " + " ".join(compiled),
            expected="the image says: " + " ".join(claimed),
            because=f"missing {' '.join(missing) or 'none'}, not claimed {' '.join(surplus) or 'none'}",
            fix="correct the fact about this torch build, or build with the torch that was locked",
            on_gpu="no kernel image is available for execution on the device",
        )
    return {"architectures": compiled}


CHECK = Check(
    "gpu-architectures",
    "static",
    run,
    covers=("torch",),
    applies=lambda image: image.real_torch and bool(image.cuda),
)
