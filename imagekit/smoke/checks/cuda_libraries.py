"""A CUDA library that is missing, broken or not the one torch was built with is met in the middle of a job: cuDNN
loads its parts at the first convolution, NCCL at the first step of a second node."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from contextlib import suppress
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

from .. import records
from ..check import Check, Failure, Figures, Image, installed, progress, shorten

DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvcuvid.so.1", "libnvidia-encode.so.1")
"""Come with the node's driver, never with an image."""

PLUGINS = (
    ("libcufile_rdma.so*", "GPUDirect storage over RDMA"),
    ("nvshmem_*", "NVSHMEM's bootstraps and transports (MPI, UCX, libfabric)"),
    ("libcheckpoint.so*", "the checkpoint helper of CUPTI"),
)
"""Optional parts that a library looks for and does without: a missing dependency of theirs is not a fault."""

CUDNN = "libcudnn.so"
MISSING = re.compile(r"(\S+\.so\S*): cannot open shared object file")


def libraries(image: Image) -> list[Path]:
    """Every shared library of the nvidia-* wheels and of torch."""
    found = [*image.site.glob("nvidia/*/lib/*.so*"), *image.site.glob("torch/lib/*.so*")]
    return sorted(path for path in found if path.is_file())


def run(image: Image) -> Figures:
    paths = libraries(image)
    _no_strangers(paths, _search_path(), "LD_LIBRARY_PATH=" + os.environ.get("LD_LIBRARY_PATH", ""))
    with suppress(Exception):  # what torch itself pulls in is judged too; that it imports is judged by `imports`
        import_module("torch")
    wants_driver, plugins, broken = list[str](), list[str](), dict[str, list[str]]()
    for path in paths:
        progress(f"loading {path}")
        problem = _load(path)
        missing = MISSING.search(problem)
        if missing and missing.group(1) in DRIVER:
            wants_driver.append(path.name)
        elif missing and any(fnmatch(path.name, pattern) for pattern, _ in PLUGINS):
            plugins.append(f"{path.name} without {missing.group(1)}")
        elif problem:
            broken.setdefault(problem, []).append(path.name)
    found = incomplete(image) + [f"{', '.join(names)}: {problem}" for problem, names in broken.items()]
    if found:
        raise Failure(
            found="; ".join(found),
            expected="every library loads",
            because="a CUDA wheel is missing or was changed, or the system lacks a library",
            fix="build the image again from its lock; a system library belongs into the profile's apt list",
            on_gpu="the same message when torch first needs it",
        )
    _no_strangers(paths, _loaded_from(), "the loader found it first")
    return {
        "loaded": len(paths) - len(wants_driver) - len(plugins),
        "need_the_driver": wants_driver,
        "optional_plugins": plugins,
        "versions": told(image, paths),
    }


VERSIONS = (
    ("libcudart.so", "nvidia-cuda-runtime", "cudaRuntimeGetVersion", 1000, 10),
    ("libnccl.so", "nvidia-nccl", "ncclGetVersion", 10000, 100),
)
"""Library, the wheel that it comes with, the function that tells its version, and how the number is made: 12010 is CUDA
12.1, 22005 is NCCL 2.20.5."""


def told(image: Image, paths: list[Path]) -> dict[str, str]:
    """What CUDA's libraries say of themselves. Raises Failure where that is not what was locked."""
    found = {}
    cudnn = next((path for path in paths if path.name.startswith(CUDNN)), None)
    if cudnn:
        found["nvidia-cudnn"] = _version(cudnn).strip()
    for name, wheel, function, major, minor in VERSIONS:
        path = next((path for path in paths if path.name.startswith(name)), None)
        if path:
            number = ctypes.c_int()
            getattr(ctypes.CDLL(str(path)), function)(ctypes.byref(number))
            parts = [number.value // major, number.value % major // minor]
            found[wheel] = ".".join(map(str, parts + ([number.value % minor] if minor == 100 else [])))
    for wheel, version in found.items():
        locked = next((p.version for p in image.packages if p.name.startswith(wheel)), "")
        if locked and not f"{locked}.".startswith(f"{version}."):
            raise Failure(
                found=f"the library of {wheel} says {version}",
                expected=f"{locked}, as locked",
                because="its file was exchanged",
                fix="build the image again from its lock",
                on_gpu="errors that no log explains, or wrong numbers",
            )
    return {wheel.removeprefix("nvidia-"): version for wheel, version in found.items()}


def incomplete(image: Image) -> list[str]:
    """Libraries of the CUDA wheels that are gone or have another size.

    cuDNN opens most of its parts only when it needs them, so nothing else would notice.
    """
    found = []
    for package in image.packages:
        distribution = installed(package.name) if package.group == "cuda" else None
        for entry in records.of(distribution) if distribution else []:
            size = entry.path.stat().st_size if entry.path.is_file() else None
            if entry.size is not None and ".so" in entry.path.name and size != entry.size:
                name, wanted = entry.name, entry.size
                found.append(f"{name} is gone" if size is None else f"{name} has {size} bytes instead of {wanted}")
    return found


def _load(path: Path) -> str:
    """What the loader says against a library; empty when it loads."""
    try:
        ctypes.CDLL(str(path), mode=os.RTLD_LAZY | os.RTLD_LOCAL)
    except OSError as error:
        return shorten(str(error))
    return ""


def _search_path() -> list[Path]:
    """Files in the folders that LD_LIBRARY_PATH puts before the libraries' own choice."""
    folders = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    return [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]


def _loaded_from() -> list[Path]:
    """The files behind this process's memory."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return sorted({Path(line.split(None, 5)[5]) for line in lines if "/" in line and ".so" in line})


def _no_strangers(ours: list[Path], candidates: list[Path], because: str) -> None:
    """Fail when a file of the same name as one of ours, but another one, is (or would be) loaded."""
    by_name = {path.name: path for path in ours}
    for candidate in candidates:
        own = by_name.get(candidate.name)
        if own is not None and candidate.exists() and not candidate.samefile(own):
            raise Failure(
                found=f"{candidate}{_version(candidate)}",
                expected=f"{own}{_version(own)}",
                because=because,
                fix="take that folder out of LD_LIBRARY_PATH; let what needs it find its libraries by rpath",
                on_gpu=f"{own.name.split('.')[0]} version incompatibility at its first use",
            )


def _version(path: Path) -> str:
    """The version that a cuDNN tells, as text to append.

    Asked in a process of its own: cuDNN 9 ends the one that it is in when it does not find its other parts.
    """
    if not path.name.startswith(CUDNN):
        return ""
    code = f"import ctypes; print(ctypes.CDLL({str(path)!r}).cudnnGetVersion())"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    if done.returncode:
        return " (does not load)"
    return f" {cudnn_version(int(done.stdout))}"


def cudnn_version(number: int) -> str:
    """CUDNN_VERSION of cudnn_version.h: 1000, 100 and 1 times the parts of 8.9.2; 10000 times the first from 9 on."""
    first = 10000 if number >= 90000 else 1000
    return f"{number // first}.{number % first // 100}.{number % 100}"


CHECK = Check(
    "cuda-libraries",
    "static",
    run,
    covers=("torch", "torchvision"),
    applies=lambda image: image.real_torch and bool(image.cuda),
)
