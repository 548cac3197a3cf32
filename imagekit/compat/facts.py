"""The facts that versions are chosen by: torch releases, CUDA toolkits, GPUs, distributions, and what does not mix.

Facts are data (`data/*.yaml`), one row each with its sources; rows.py has the types of the rows, this module the
lookups, and neither decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.specifiers import SpecifierSet

from imagekit.compat.rows import (
    Constraint,
    DriverBranch,
    Feature,
    Gpu,
    OperatingSystem,
    Recipe,
    Release,
    Toolkit,
    Variant,
)

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts, in the order of their files, and the lookups on them."""

    releases: tuple[Release, ...]
    """Oldest first."""
    toolkits: tuple[Toolkit, ...]
    gpus: tuple[Gpu, ...]
    drivers: tuple[DriverBranch, ...]
    systems: tuple[OperatingSystem, ...]
    constraints: tuple[Constraint, ...]
    recipes: tuple[Recipe, ...]
    features: tuple[Feature, ...]
    sources: Mapping[str, Mapping[str, str]]
    """File ("torch") -> key in a row's `sources` -> what was read."""
    collected: Mapping[str, str]
    """File -> the day its facts were read."""

    def release(self, version: str) -> Release | None:
        """The torch release of exactly this version ("2.4.1"), or None."""
        return next((release for release in self.releases if release.version == version), None)

    def variants_of(self, version: str) -> tuple[Variant, ...]:
        """The builds of a torch release; empty when there is no such release."""
        release = self.release(version)
        return release.variants if release else ()

    def toolkit(self, version: str) -> Toolkit | None:
        """The CUDA toolkit "12.1", or None."""
        return next((toolkit for toolkit in self.toolkits if toolkit.version == version), None)

    def gpu(self, name: str) -> Gpu | None:
        """The GPU that `name` is the whole name of, or None: a part of a name is never enough (H20 is not H200).

        Case, a leading "NVIDIA", and space, hyphen or underscore do not matter.
        """
        wanted = _gpu_key(name)
        return next((gpu for gpu in self.gpus if wanted in map(_gpu_key, (gpu.name, *gpu.aliases))), None)

    def driver_branch(self, version: str) -> DriverBranch | None:
        """The branch of a driver, "535.183.01" or "535", or None."""
        wanted = version.split(".")[0]
        return next((branch for branch in self.drivers if branch.branch == wanted), None)

    def suite(self, name: str) -> OperatingSystem | None:
        """The distribution called "bookworm", "debian:12" or "ubuntu22.04", or None."""
        wanted = name.casefold().replace(":", "")
        return next((system for system in self.systems if wanted in (system.suite, system.id + system.version)), None)

    def suites_with_python(self, python: str) -> tuple[OperatingSystem, ...]:
        """The distributions whose own python3 is `python` ("3.11")."""
        return tuple(system for system in self.systems if system.python == python)

    def constraint(self, id: str) -> Constraint | None:
        """The constraint of that id, or None."""
        return next((constraint for constraint in self.constraints if constraint.id == id), None)

    def recipe(self, package: str, version: str = "") -> Recipe | None:
        """The recipe for a package, by its normalised name: of several the one for `version`, otherwise the last."""
        rows = [recipe for recipe in self.recipes if recipe.package == package]
        fits = [row for row in rows if version and SpecifierSet(row.versions).contains(version, prereleases=True)]
        return next(iter([*fits, *reversed(rows)]), None)

    def feature(self, name: str) -> Feature | None:
        """The feature of that name, or None."""
        return next((feature for feature in self.features if feature.name == name), None)


def _gpu_key(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip().removeprefix("nvidia ")


@cache
def load() -> Facts:
    """The facts that come with imagekit, read once.

    Raises `imagekit.errors.Error` naming the file and the row when they are damaged.
    """
    from imagekit.compat import facts_load

    return facts_load.read(DATA)


def read_json(path: Path) -> Facts:
    """Facts that `text` gave. Raises `imagekit.errors.Error` for anything else, also for those of another imagekit."""
    from imagekit.compat import facts_load

    return facts_load.read_json(path)


def text() -> str:
    """The facts that come with imagekit, as one JSON text; the same facts give the same."""
    from imagekit.compat import facts_load

    return facts_load.text(DATA)


def compile_json(folder: Path) -> str:
    """The facts of `folder`'s YAML files as the text of its `facts.json`; the same input gives the same text.

    Raises `imagekit.errors.Error` naming the file and the row when they are damaged.
    """
    from imagekit.compat import facts_load

    return facts_load.compile_json(folder)
