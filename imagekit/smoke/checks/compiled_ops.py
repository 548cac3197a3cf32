"""An operator in CUDA that was compiled against another torch, or not for the GPUs that the image says: an undefined
symbol, or "no kernel image is available for execution on the device", at the first training step."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path

from ..check import Check, Failure, Figures, Image, import_torch, progress, shorten

MAGIC = b"\x50\xed\x55\xba"
"""Of a fat binary, the container of code for GPUs. Its format is NVIDIA's own and has no document; this was read from
the output of nvcc 13.0, and GrigoryEvko/nvopen-tools: fatbin/FORMAT_SPECIFICATION.md (CUDA 11 to 13) agrees."""

CONTAINER = struct.Struct("<4sHHQ")
"""Magic, version, bytes of this header, bytes of all entries."""

ENTRY = struct.Struct("<HHIQIIHHI")
"""Kind (1 PTX, 2 ELF), version, bytes of this header, bytes of the code, and from byte 28 the architecture: 90."""


def architectures(content: bytes) -> set[str]:
    """What a library has machine code for, without PTX: {"sm_80", "sm_90"}. Empty for one without code for GPUs."""
    found = set()
    start = content.find(MAGIC)
    while start >= 0:
        place = start + len(MAGIC)
        if start + CONTAINER.size <= len(content):
            _, version, header, size = CONTAINER.unpack_from(content, start)
            if (version, header) == (1, CONTAINER.size):
                place = start + header + size
                found |= _entries(content, start + header, min(place, len(content)))
        start = content.find(MAGIC, place)
    return found


def _entries(content: bytes, at: int, end: int) -> set[str]:
    found = set()
    while at + ENTRY.size <= end:
        kind, _, header, size, *_, number = ENTRY.unpack_from(content, at)
        if kind == 2:
            found.add(f"sm_{number}")
        at += max(header, ENTRY.size) + size
    return found


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
        code = architectures(Path(str(module.__file__)).read_bytes())
        missing = sorted(set(claimed) - code)
        if missing:
            raise Failure(
                found=f"{name} has code for {' '.join(sorted(code)) or 'no GPU'}",
                expected="the image says: " + " ".join(claimed),
                because=f"missing {' '.join(missing)}",
                fix="build again; TORCH_CUDA_ARCH_LIST of the build decides",
                on_gpu="no kernel image is available for execution on the device",
            )
        figures[name.rpartition(".")[2]] = sorted(code)
    return figures


CHECK = Check(
    "compiled-ops",
    "cpu",
    run,
    covers=("deepspeed", "torch"),
    applies=lambda image: image.real_torch and bool(image.facts.get("ops")),
    limit=180,
)
