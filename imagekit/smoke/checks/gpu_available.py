"""A GPU is there, paid for, and torch does not see it: the job runs on the CPU for days, or not at all."""

from __future__ import annotations

import ctypes

from .. import gpu
from ..check import Check, Failure, Figures, Image


def run(image: Image) -> Figures:
    import torch

    driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    driver.cuInit(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if not torch.cuda.is_available() or torch.cuda.device_count() != count.value:
        raise Failure(
            found=f"torch sees {torch.cuda.device_count()} GPUs",
            expected=f"{count.value}, as the driver does",
            because="the driver is older than this torch needs, or torch is built without CUDA",
            fix=f"driver {image.facts.get('min_driver')} or newer on this node",
        )
    names = list[str]()
    for index in range(count.value):
        device = f"cuda:{index}"
        major, minor = torch.cuda.get_device_capability(index)
        names.append(f"{torch.cuda.get_device_name(index)} (sm_{major}{minor})")
        total = gpu.stays(torch.ones(8, device=device).sum(), device, "a sum").item()
        if total != 8:
            raise Failure(found=f"eight ones add up to {total:g} on {device}", expected="8")
    return {"gpus": names, "compiled": torch.cuda.get_arch_list()}


CHECK = Check("gpu-available", "gpu", run, covers=("torch",), applies=gpu.promised)
