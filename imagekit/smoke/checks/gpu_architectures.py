"""A GPU whose architecture is not compiled in: "no kernel image is available for execution on the device" after the
pod has waited an hour for its node."""

from __future__ import annotations

from collections.abc import Iterator

from .. import fatbin
from ..check import Check, Failure, Figures, Image, import_torch

TORCH = ("torch/lib/libtorch_cuda.so", "torch/lib/libtorch_cuda_cu.so")
"""Where the kernels of torch are; torch 1.13 has the second."""


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
    libraries = dict(_code(image))
    for name in TORCH:
        lacking = sorted(set(claimed) - set(libraries.get(name, claimed)))
        if lacking:
            raise Failure(
                found=f"{name} has code for {' '.join(libraries[name]) or 'no GPU'}",
                expected="the image says: " + " ".join(claimed),
                because=f"missing {' '.join(lacking)}; torch itself says that it is there",
                fix="build again with the torch that was locked",
                on_gpu="no kernel image is available for execution on the device",
            )
    return {"architectures": compiled, "libraries": libraries}


def _code(image: Image) -> Iterator[tuple[str, list[str]]]:
    """Library -> what it has code for, PTX included."""
    for name, code in fatbin.libraries(image.site):
        machine, ptx = code.general()
        yield name, [*machine, *ptx]


CHECK = Check(
    "gpu-architectures",
    "static",
    run,
    covers=("torch",),
    applies=lambda image: image.real_torch and bool(image.cuda),
)
