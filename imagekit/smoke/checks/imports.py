"""A package that installs and does not import: a missing system library or a dependency nobody declared, met by the
first user who needs it."""

from __future__ import annotations

import importlib
import re
import time
import warnings
from importlib.metadata import Distribution
from pathlib import PurePosixPath

from ..check import ALL, Check, Failure, Figures, Image, Package, installed, local_files, progress, shorten
from .cuda_libraries import DRIVER

NOT_FOR_IMPORT = ("tests", "test", "docs", "doc", "examples", "benchmarks", "scripts", "share", "bin")
"""Top-level names that careless wheels leave behind; nobody imports them."""

EXTENSION = re.compile(r"^([A-Za-z_]\w*)(\.(cpython|abi3|pypy)[\w.-]*)?\.(so|py)$")


def modules(distribution: Distribution) -> list[str]:
    """The modules that a distribution gives, from its own list of files.

    A folder without __init__.py is a namespace that others share: the packages below it count. Empty for a distribution
    of stubs, scripts or data.
    """
    paths = [PurePosixPath(name) for name in local_files(distribution)]
    packages = {path.parent for path in paths if path.name == "__init__.py"}
    shallow = {folder for folder in packages if not any(parent in packages for parent in folder.parents)}
    names = {".".join(folder.parts) for folder in shallow}
    for path in paths:
        match = EXTENSION.match(path.name)
        if len(path.parts) == 1 and match:
            names.add(match.group(1))
    valid = (name for name in names if all(part.isidentifier() for part in name.split(".")))
    return sorted(name for name in valid if name.split(".")[0] not in NOT_FOR_IMPORT)


def excused(package: Package) -> str:
    """Why a distribution is not expected to import; empty when it is."""
    if package.standin:
        return "stands in for another one, has no files"
    if package.group == "cuda" or package.name.startswith("nvidia-"):
        return "shared libraries only, see cuda-libraries"
    return ""


def order(package: Package) -> tuple[bool, bool, str]:
    """torch first, pip last.

    Others find torch's libraries only when it has loaded them. Importing pip switches off the hook by which setuptools
    replaces distutils, and setuptools then refuses to be imported.
    """
    return package.name != "torch", package.name == "pip", package.name


def run(image: Image) -> Figures:
    warnings.simplefilter("ignore")
    overrides = image.facts.get("imports") or {}
    broken: dict[str, list[str]] = {}
    without: list[str] = []
    need_driver: list[str] = []
    seconds: dict[str, float] = {}
    for package in sorted(image.packages, key=order):
        found = installed(package.name)
        if found is None or excused(package):
            continue  # what is not installed is told by the check `versions`
        names = overrides.get(package.name, modules(found))
        if not names:
            without.append(package.name)
        for name in names:
            started = time.monotonic()
            problem = _import(name)
            seconds[name] = round(time.monotonic() - started, 2)
            if any(library in problem for library in DRIVER):
                need_driver.append(name)
            elif problem:
                broken.setdefault(problem, []).append(f"{name} ({package.name} {found.version})")
    if broken:
        raise Failure(
            found="; ".join(f"import {', '.join(names)}: {problem}" for problem, names in broken.items()),
            expected="every locked distribution imports",
            because="a system library, or a package that is needed and not declared, is missing or has another version",
            fix="add it to the profile, or build the image again when a locked package was changed",
        )
    slowest = dict(sorted(seconds.items(), key=lambda item: -item[1])[:5])
    return {"modules": len(seconds), "no_modules": without, "need_the_driver": need_driver, "slowest": slowest}


def _import(name: str) -> str:
    """What an import says against itself; empty when it works."""
    progress(f"import {name}")
    try:
        importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # modules raise anything at import, SystemExit too
        return shorten(f"{type(error).__name__}: {error}")
    return ""


CHECK = Check("imports", "static", run, covers=(ALL,), limit=120, needs=("lock",))
