"""CUDA that is there twice: gigabytes that every node pulls, and whichever copy the loader meets first is the one that
runs."""

from __future__ import annotations

import re
from pathlib import Path

from ..check import Check, Failure, Figures, Image

OF_WHEELS = re.compile(r"^nvidia-(.+)-cu(\d+)$")
"""nvidia-cublas-cu12: CUDA's libraries by component and major version; from CUDA 13 on they have no suffix."""

SYSTEM = (
    "/usr/local/cuda*/lib64",
    "/usr/local/cuda*/targets/*/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/*-linux-gnu",
)
LARGE = (
    "libcublas.so",
    "libcublasLt.so",
    "libcudnn.so",
    "libnccl.so",
    "libcufft.so",
    "libcusolver.so",
    "libcusparse.so",
)


def run(image: Image) -> Figures:
    twice = majors([package.name for package in image.packages])
    if twice:
        raise Failure(
            found="; ".join(twice),
            expected="CUDA's wheels of one major version",
            because="two packages were built for different CUDAs",
            fix="one of them needs another version: imagekit explain PROFILE says who asked for it",
        )
    toolkit = "nvidia/cuda" in str((image.lock.get("resolution") or {}).get("base") or "") or bool(
        image.facts.get("ops")
    )
    system = in_system(Path("/"))
    by_wheels = any(OF_WHEELS.match(package.name) or package.group == "cuda" for package in image.packages)
    if system and by_wheels and not toolkit:
        raise Failure(
            found=f"{', '.join(system[:4])} beside the CUDA of the wheels",
            expected="the CUDA that came with torch, and no other",
            because="an apt package, a step or the base brought a second one",
            fix="take it out; what only compiles needs a build stage",
        )
    return {"in_system": system}


def majors(names: list[str]) -> list[str]:
    """Components that are there for several major versions of CUDA."""
    found: dict[str, set[str]] = {}
    for name in names:
        match = OF_WHEELS.match(name)
        component, major = match.groups() if match else (name.removeprefix("nvidia-"), "13 or later")
        if match or name.startswith("nvidia-"):
            found.setdefault(component, set()).add(major)
    return [f"{name} for CUDA {' and '.join(sorted(of))}" for name, of in sorted(found.items()) if len(of) > 1]


def in_system(top: Path) -> list[str]:
    """Large CUDA libraries outside of Python's packages."""
    found = {path.resolve() for pattern in SYSTEM for path in top.glob(pattern.lstrip("/") + "/lib*.so*")}
    return sorted(str(path) for path in found if path.name.startswith(LARGE))


CHECK = Check("one-cuda", "static", run, covers=("torch",), applies=lambda image: image.real_torch)
