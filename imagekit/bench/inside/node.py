"""What the numbers were measured on: without it they are worth nothing next week."""

from __future__ import annotations

import ctypes
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

GIB = 2**30
PACKAGES = ("torch", "torchvision", "transformers", "triton", "numpy", "pillow", "pillow-simd", "av", "decord")


def environment() -> dict[str, Any]:
    """Starts CUDA in this process when there is a GPU: call it in a process of its own."""
    here: dict[str, Any] = {
        "python": platform.python_version(),
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")),
        "cores": cores(),
        "memory_gb": round(memory() / GIB, 1),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "torch": None, "cuda": None, "threads": None, "gpus": [], "driver": driver(),
    }  # fmt: skip
    try:
        import torch

        here |= {"torch": str(torch.__version__), "cuda": torch.version.cuda, "threads": torch.get_num_threads()}
        # torch falls back to the CPU when it cannot use a GPU; nothing here does, so an empty list must be the truth
        here["gpus"] = [_gpu(torch, index) for index in range(torch.cuda.device_count())]
    except Exception as error:  # a broken torch raises anything; what needs none can still be measured
        here["torch_error"] = f"{type(error).__name__}: {error}"
    return here


def _gpu(torch: Any, index: int) -> str:
    found = torch.cuda.get_device_properties(index)
    return f"{found.name} (sm_{found.major}{found.minor}, {found.total_memory / GIB:.0f} GiB)"


def cpu_model(cpuinfo: str) -> str:
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), platform.machine())


def cores() -> int:
    """What this process may use: a container's share can be smaller than the machine."""
    allowed = len(os.sched_getaffinity(0))
    quota = limit("cpu.max")
    return min(allowed, max(1, round(quota))) if quota else allowed


def memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total, int(limit("memory.max") or total))


def limit(name: str, root: Path = Path("/sys/fs/cgroup")) -> float:
    """A limit of this container's control group; 0: none, or not told. cpu.max is "quota period"."""
    try:
        words = (root / name).read_text(encoding="ascii").split()
        return float(words[0]) / (float(words[1]) if len(words) > 1 else 1)
    except (OSError, ValueError, IndexError):  # "max", or no such file
        return 0.0


def driver() -> str | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    text = ctypes.create_string_buffer(96)
    told = nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0
    return text.value.decode(errors="replace") if told else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
