"""A GPU whose architecture is not compiled in: "no kernel image is available for execution on the device" after the
pod has waited an hour for its node."""

from __future__ import annotations

import json
import os
import re
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
    return {"architectures": compiled, "libraries": libraries, **_targets(libraries, compiled)}


def _code(image: Image) -> Iterator[tuple[str, list[str]]]:
    """Library -> what it has code for, PTX included."""
    for name, code in fatbin.libraries(image.site):
        machine, ptx = code.general()
        yield name, [*machine, *ptx]


def _targets(libraries: dict[str, list[str]], torch: list[str]) -> Figures:
    """The GPUs that the image must run on (`targets:` of a profile). Raises Failure where torch has no code for one.

    Other libraries are told only: what they hold is often for some GPUs alone, and used on those alone.
    """
    targets: dict[str, str] = json.loads(os.environ.get("IMAGEKIT_TARGETS") or "{}")
    known = {name: sm for name, sm in targets.items() if sm}
    ours = {name: libraries.get(name, torch) for name in TORCH if name in libraries} or {"torch": torch}
    for name, code in ours.items():
        bad = [f"{target} ({sm})" for target, sm in known.items() if not runs(code, sm)]
        if bad:
            raise Failure(
                found=f"{name} has no code for {', '.join(bad)}",
                expected="code for every target of the profile",
                because=f"it holds {' '.join(code)}",
                fix="imagekit explain PROFILE says why this torch was chosen; imagekit compat check what would run",
                on_gpu="no kernel image is available for execution on the device",
            )
    lacking = {
        name: [target for target, sm in known.items() if not runs(code, sm)]
        for name, code in libraries.items()
        if name not in TORCH
    }
    return {"targets": known, "without_code_for": {n: t for n, t in lacking.items() if t}} if known else {}


def runs(code: list[str], sm: str) -> bool:
    """Whether a GPU runs code: sm_X.y every X.z with z >= y, PTX for X.y (compute_) every newer one (CUDA C++
    Programming Guide, 5.1)."""
    wanted = int(re.sub(r"\D", "", sm))
    for name in code:
        number = int(re.sub(r"\D", "", name))
        newer = number // 10 == wanted // 10 if name.startswith("sm_") else True
        if newer and number <= wanted:
            return True
    return False


CHECK = Check(
    "gpu-architectures",
    "static",
    run,
    covers=("torch",),
    applies=lambda image: image.real_torch and bool(image.cuda),
)
