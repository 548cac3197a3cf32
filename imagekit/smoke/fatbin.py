"""For which GPUs a shared library has code: read out of the fat binaries that nvcc put into it. Nothing is loaded.

Run as a program, it prints the same for every library of the interpreter's packages, as JSON.

The format is NVIDIA's own and has no document; this was read from the output of nvcc 13.0 and from libraries of torch
2.4 and 2.7, and GrigoryEvko/nvopen-tools: fatbin/FORMAT_SPECIFICATION.md (CUDA 11 to 13) agrees.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"\x50\xed\x55\xba"

CONTAINER = struct.Struct("<4sHHQ")
"""Magic, version, bytes of this header, bytes of all entries: the code of one module for all its GPUs."""

ENTRY = struct.Struct("<HHIQIIHHI")
"""Kind (1 PTX, 2 ELF), version, bytes of this header, bytes of the code, and from byte 28 the architecture: 90."""

SECTIONS = (".nv_fatbin", "__nv_relfatbin")
"""Of an ELF file, where nvcc puts the containers: the second is that of separate compilation (nvcc -rdc)."""


@dataclass
class Code:
    """The code for GPUs of one library."""

    modules: int = 0
    machine: Counter[str] = field(default_factory=Counter)
    """sm_80 -> in how many modules there is machine code for it."""
    ptx: Counter[str] = field(default_factory=Counter)
    """compute_80 -> in how many modules there is PTX for it."""

    def general(self) -> tuple[list[str], list[str]]:
        """(sm, compute) that at least half of the modules have: a few kernels more do not make a library for a GPU."""
        most = [{name for name, count in of.items() if 2 * count >= self.modules} for of in (self.machine, self.ptx)]
        return sorted(most[0], key=_number), sorted(most[1], key=_number)


def read(path: Path) -> Code:
    """The code of a library; of a file that has none, or is no library, there are no modules. Raises OSError."""
    with path.open("rb") as file:
        if file.seek(0, 2) < 64:
            return Code()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return of(content)


def of(content: mmap.mmap | bytes) -> Code:
    found = Code()
    for start, end in _sections(content) or [(0, len(content))]:
        at = content.find(MAGIC, start, end)
        while at >= 0:
            after = at + len(MAGIC)
            if at + CONTAINER.size <= end:
                _, version, header, size = CONTAINER.unpack_from(content, at)
                if (version, header) == (1, CONTAINER.size):
                    after = min(at + header + size, end)
                    _count(found, content, at + header, after)
            at = content.find(MAGIC, after, end)
    return found


def _count(found: Code, content: mmap.mmap | bytes, at: int, end: int) -> None:
    machine, ptx = set(), set()
    while at + ENTRY.size <= end:
        kind, _, header, size, *_, number = ENTRY.unpack_from(content, at)
        if number > 999:
            return  # no architecture, and so no container
        if kind == 2:
            machine.add(f"sm_{number}")
        elif kind == 1:
            ptx.add(f"compute_{number}")
        at += max(header, ENTRY.size) + size
    found.modules += bool(machine or ptx)
    found.machine.update(machine)
    found.ptx.update(ptx)


def _sections(content: mmap.mmap | bytes) -> list[tuple[int, int]]:
    """Where the containers are in a 64-bit ELF file; the gigabyte around them is not looked at. [] for another file.

    A library without a section table (stripped of it), or with a damaged one, is looked at whole.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        return []
    try:
        (table,) = struct.unpack_from("<Q", content, 40)
        size, count, names = struct.unpack_from("<3H", content, 58)
        heads = [struct.unpack_from("<IIQQQQ", content, table + number * size) for number in range(count)]
        found: set[tuple[int, int]] = set()
        for name, _, _, _, start, length in heads:
            at = heads[names][4] + name
            if bytes(content[at : content.find(b"\0", at)]).decode("ascii", "replace") in SECTIONS:
                found.add((start, min(start + length, len(content))))
    except (struct.error, IndexError, OverflowError, ValueError):
        return []
    return _apart(found) if found else [(0, 0)] if count else []


def _apart(ranges: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without what lies in another one: a file that says one section often is read once."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        start = max(start, found[-1][1]) if found else start
        if start < end:
            found.append((start, end))
    return found


def libraries(folder: Path) -> Iterator[tuple[str, Code]]:
    """(path in the folder, code) of each library with code for GPUs; not of NVIDIA's own, which choose at run time."""
    for path in sorted(folder.rglob("*.so*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("nvidia/") or path.is_symlink() or not path.is_file():
            continue
        code = read(path)
        if code.modules:
            yield name, code


def _number(architecture: str) -> int:
    return int(architecture.rpartition("_")[2])


if __name__ == "__main__":
    folders = dict.fromkeys(Path(entry).resolve() for entry in sys.path if entry.endswith("-packages"))
    print(json.dumps({name: code.general() for folder in folders for name, code in libraries(folder)}))
