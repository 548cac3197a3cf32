"""lock -> plan: the image as a list of units, each with a key that is a pure function of its inputs.

The narrow waist: Dockerfile engines make one layer per group, a composing engine one per unit; keys are the same for
both. Groups are ordered by how rarely they change, so that a small change rebuilds and moves a small layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

from imagekit.lock.model import Lock, Package

LAYER_FORMAT = 1
"""Part of every key: raised when the same inputs are to give other bytes."""

HEAVY = 3_000_000
"""Bytes of a wheel from which it goes with the heavy libraries rather than with the rest."""

GROUPS = ("cuda", "torch", "heavy", "rest", "wins")
"""Wheel groups, by rate of change: CUDA libraries, torch and what is built with it, large libraries, all others; and
above them those whose files are to stand over others'."""

_TORCH = {"torch", "torchvision", "torchaudio", "triton", "torchcodec", "xformers"}
_CUDA = ("nvidia-", "cuda-")


@dataclass(frozen=True)
class Unit:
    kind: str
    """system | wheel | files | steps | config"""
    name: str
    group: str
    key: str
    """sha256 of what the unit is made from."""
    size: int
    """Bytes: the wheel's file; 0 where nothing is known before building."""


@dataclass(frozen=True)
class Plan:
    lock: Lock
    units: tuple[Unit, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Wheel groups that have something in them, in layer order."""
        present = {unit.group for unit in self.units if unit.kind == "wheel"}
        return tuple(group for group in GROUPS if group in present)

    @property
    def size(self) -> int:
        return sum(unit.size for unit in self.units)

    @property
    def key(self) -> str:
        return _key([unit.key for unit in self.units])

    @property
    def parts(self) -> dict[str, str]:
        """Kind of unit -> digest of its units' keys: what two plans differ in, without either."""
        kinds = dict.fromkeys(unit.kind for unit in self.units)
        return {kind: _key([unit.key for unit in self.units if unit.kind == kind]) for kind in kinds}

    def packages(self, group: str) -> tuple[Package, ...]:
        return tuple(package for package in self.lock.packages if group_of(package, self.lock.resolution.wins) == group)


def group_of(package: Package, wins: Collection[str]) -> str:
    """`wins`: of the resolution."""
    if package.name in _TORCH:
        return "torch"
    if package.name.startswith(_CUDA):
        return "cuda"
    if package.name in wins:
        return "wins"
    if package.kind == "wheel" and package.size >= HEAVY:
        return "heavy"
    return "rest"


def plan(lock: Lock, files: dict[str, str]) -> Plan:
    """`files`: path in the context -> sha256, of everything that is rendered into the image besides wheels."""
    resolution = lock.resolution
    apt = system_packages(lock)
    foundation: list[object] = [resolution.base.model_dump(), apt]
    if resolution.apt_sources or resolution.trust:
        foundation += [[source.model_dump() for source in resolution.apt_sources], resolution.trust]
    units = [Unit("system", f"{resolution.os}, {len(apt)} packages", "system", _key(foundation), 0)]
    for group in GROUPS:
        for package in lock.packages:
            if group_of(package, resolution.wins) == group:
                recipe: list[object] = [tool.model_dump() for tool in lock.build_requires.get(package.name, ())]
                recipe += [build.model_dump() for build in resolution.builds if build.package == package.name]
                recipe += [package.version] if package.git else []  # what the stage tells the build
                recipe += [row.sha256 for row in lock.beside(package.name)]
                key = _key([package.sha256, resolution.python if group != "cuda" else "any", recipe])
                units.append(Unit("wheel", f"{package.name} {package.version}", group, key, package.size))
    units.append(Unit("files", f"{len(files)} files", "files", _key(files), 0))
    if resolution.steps:
        count = f"{len(resolution.steps)} step{'s' if len(resolution.steps) > 1 else ''}"
        owners = ", ".join(dict.fromkeys(step.overlay for step in resolution.steps))
        lines = [step.model_dump() for step in resolution.steps]
        units.append(Unit("steps", f"{count} of {owners}; bytes not pinned", "steps", _key([apt, lines]), 0))
    config = [resolution.env, resolution.labels, resolution.features, resolution.profile]
    units.append(Unit("config", "environment, labels, user", "config", _key(config), 0))
    return Plan(lock, tuple(units))


def system_packages(lock: Lock) -> tuple[str, ...]:
    """Distribution packages of the final image, by name: what was asked for, and what source builds need to run."""
    resolution = lock.resolution
    runtime = [name for build in resolution.builds for name in build.apt_runtime if lock.package(build.package)]
    return tuple(sorted({"tini", *resolution.apt, *runtime}))


def _key(inputs: object) -> str:
    text = json.dumps([LAYER_FORMAT, inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
