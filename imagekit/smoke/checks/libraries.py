"""A compiled module with an undefined symbol, or made for a newer glibc: it imports until the day that somebody uses
the one function that needs it."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from .. import records
from ..check import ALL, Check, Failure, Figures, Image, canonical, installed, progress, shorten
from .cuda_libraries import DRIVER, MISSING

EXTENSION = re.compile(r"\.(cpython-\d+[\w.-]*|abi3)\.so$")
"""A module for Python: CPython loads it and nobody else."""

OURS = ("cuda", "torch")
"""Groups whose every library is needed sooner or later; other wheels carry plugins for things that are not there."""


def run(image: Image) -> Figures:
    owners = {str(path): name for name, paths in of(image).items() for path in paths}
    with suppress(
        Exception
    ):  # libraries of others count on torch's being loaded; that it imports is judged by `imports`
        import_module("torch")
    problems = load([Path(path) for path in owners])
    groups = {package.name: package.group for package in image.packages}
    bad, optional = list[str](), dict[str, str]()
    for path, problem in problems.items():
        missing = MISSING.search(problem)
        if missing and missing.group(1) in DRIVER:
            continue
        name, owner = Path(path).name, owners[path]
        needed = bool(EXTENSION.search(name)) or groups[owner] in OURS
        if missing or not needed:
            optional[name] = shorten(problem.replace(str(image.site), ""), 120)
        else:
            bad.append(f"{name} ({owner}): {shorten(problem.replace(str(image.site), ''))}")
    if bad:
        raise Failure(
            found="; ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else ""),
            expected="every symbol of every compiled module is there",
            because="a library was changed, is damaged, or is of another version than the one it was linked with",
            fix="build the image again from its lock; a package for another torch or glibc needs another version",
        )
    return {"libraries": len(owners), "optional": optional}


def of(image: Image) -> dict[str, list[Path]]:
    """The shared libraries of each locked distribution; those of CUDA are judged by cuda-libraries."""
    found = {}
    for package in image.packages:
        distribution = installed(package.name) if package.group != "cuda" else None
        entries = records.of(distribution) if distribution else []
        paths = [entry.path for entry in entries if ".so" in entry.path.suffixes]
        found[canonical(package.name)] = [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def load(paths: Iterable[Path]) -> dict[str, str]:
    """What the loader says against each library, all its symbols resolved at once; those that load are left out.

    Some find their neighbours only when these are loaded already, so it is tried until nothing more loads.
    """
    waiting = {str(path): "" for path in paths}
    while True:
        problems = {}
        for path in waiting:
            progress(f"loading {path}")
            try:
                ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
            except OSError as error:
                problems[path] = str(error)
        if len(problems) == len(waiting):
            return problems
        waiting = problems


CHECK = Check(
    "libraries", "static", run, covers=(ALL,), limit=120, needs=("lock",), applies=lambda image: image.real_torch
)
