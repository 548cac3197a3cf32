"""The program that every image runs at its start, as a module: what stops a container is what the doctor foretells."""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from imagekit import resources


def path() -> Path:
    """The program itself: one file of the standard library, the same in every image and for a host."""
    return resources.smoke() / "start"


@cache
def program() -> ModuleType:
    loader = SourceFileLoader("imagekit_start", str(path()))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # beside a file that may be the system's
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def node(gpus: list[tuple[str, int, str]], driver: str, cpuinfo: str) -> Any:
    """What the program would see. `gpus`: name, bytes, compute capability ("9.0"); `cpuinfo`: /proc/cpuinfo."""
    start = program()
    flags = next((line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")), [])
    seen = [start.Gpu(name, memory, *map(int, capability.split("."))) for name, memory, capability in gpus]
    return start.Node(seen, driver, "", flags)


def obstacle(facts: dict[str, Any], of: Any) -> str:
    """Why an image of these facts would not start on that node; empty where it would. `facts`: keys of image.json."""
    start = program()
    return str(start.without_cpu(facts, of) or start.without_driver_or_code(facts, of))
