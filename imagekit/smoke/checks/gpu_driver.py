"""A node whose driver is too old for this torch: CUDA starts with "no CUDA GPUs are available", or the first kernel
that the driver would have to compile stops the job."""

from __future__ import annotations

import ctypes

from .. import gpu
from ..check import Check, Failure, Figures, Image


def run(image: Image) -> Figures:
    import torch

    driver, version = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    code = driver.cuDriverGetVersion(ctypes.byref(version))
    if code:
        raise Failure(found=f"cuDriverGetVersion returned {code}", expected="the CUDA version of the driver")
    return compare(version.value, torch.version.cuda, gpu.here().driver, image.facts.get("min_driver") or "")


def compare(speaks: int, cuda: str | None, release: str, minimum: str) -> Figures:
    """`speaks`: the driver's CUDA as it tells it, 12020 for 12.2; `release`: its own number, empty if not told."""
    if cuda is None:
        raise Failure(found="torch is built without CUDA", expected="a torch for CUDA, as the image says")
    driver, wanted = (speaks // 1000, speaks % 1000 // 10), _numbers(cuda)[:2]
    said = f"driver {release or 'of unknown release'}, which speaks CUDA {driver[0]}.{driver[1]}"
    # Within one major version any driver of that version runs it; newer drivers run everything that is older.
    if driver[0] < wanted[0]:
        raise Failure(
            found=said,
            expected=f"CUDA {wanted[0]}.x or later, for a torch built with CUDA {cuda}",
            because="a driver runs programs of its own major CUDA version and of older ones",
            fix=f"driver {minimum} or newer on this node, or an image for CUDA {driver[0]}" if minimum else "",
        )
    # A compatibility package (cuda-compat) replaces libcuda alone: then the release may be older than the minimum.
    if release and minimum and driver < wanted and _numbers(release) < _numbers(minimum):
        raise Failure(found=said, expected=f"driver {minimum} or newer", fix=f"driver {minimum} or newer on this node")
    return {
        "driver": release,
        "driver_cuda": f"{driver[0]}.{driver[1]}",
        "torch_cuda": cuda,
        # then the driver cannot compile this CUDA's PTX: only architectures that are compiled in will run
        "by_minor_version_compatibility": driver < wanted,
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


CHECK = Check("gpu-driver", "gpu", run, covers=("torch",), applies=gpu.promised)
