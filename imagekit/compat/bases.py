"""Bases: which distribution one is, which image a short name means, and what speaks against one or should be known."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from imagekit.compat.facts import Facts, load
from imagekit.compat.rows import OperatingSystem, Release, Toolkit
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.foundation import Foundation
from imagekit.resolution import Base

_DISTRO_PACKAGES = ("ca-certificates", "python3")
"""What a base of distribution packages is made of: python3, never python3-pip (its bundled wheels)."""

FLAVOURS = ("base", "runtime", "devel")
"""Of nvidia/cuda, without cuDNN: torch brings its own."""


def base_packages(suite: str) -> tuple[str, ...]:
    return _DISTRO_PACKAGES


def known_suite(suite: str) -> OperatingSystem:
    facts = load()
    system = facts.suite(suite)
    if system is None:
        names = [entry.suite for entry in facts.systems]
        near = difflib.get_close_matches(suite, names, 1)
        hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(names)
        raise UsageError(f"there is no suite {suite!r} in the facts", hint=hint)
    return system


def reference(base: str, base_map: Mapping[str, str]) -> tuple[str, str]:
    """(name with tag, digest) of an `image:` base, with the site's map applied to its repository."""
    name, _, digest = base.partition(":")[2].partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # no tag: what is behind the colon is a registry's port
        repository, tag = name, ""
    repository = base_map.get(repository, repository)
    return f"{repository}:{tag}" if tag else repository, digest


def suite_of(base: str, found: Foundation | None) -> str:
    """The suite of distro:SUITE; of an image as it says itself, else as its name tells (debian:bookworm-slim).

    Raises ImpossibleWish for an image that nothing can be built on.
    """
    kind, _, name = base.partition(":")
    if kind == "distro":
        return known_suite(name).suite
    if kind != "image" or not name:
        raise UsageError(f"{base!r} is not a base", hint="distro:bookworm, cuda:devel, or image:debian:bookworm-slim")
    if found is not None:
        return _suite_of_image(name, found)
    for system in load().systems:
        tail = name.rsplit("/", 1)[-1].split("@")[0]
        if system.suite in tail or tail.startswith(f"{system.id}:{system.version}") or _ubuntu(tail) == system.version:
            return system.suite
    raise UsageError(
        f"the image {name} is not here and cannot be pulled, and its name does not tell its distribution",
        hint="docker pull it, use debian:<suite> or ubuntu:<version>, or distro:<suite>",
    )


def _ubuntu(tail: str) -> str:
    """The release in a tag such as 12.1.1-devel-ubuntu22.04."""
    return tail.rpartition("-ubuntu")[2] if "-ubuntu" in tail else ""


def _suite_of_image(name: str, found: Foundation) -> str:
    system = next((s for s in load().systems if (s.id, s.version) == (found.os, found.version)), None)
    problems = []
    if not found.glibc:
        problems.append("its C library is not glibc, which the wheels of PyTorch need")
    elif not found.apt:
        problems.append("it has no apt-get, with which imagekit installs distribution packages")
    elif system is None:
        known = ", ".join(f"{s.id} {s.version}" for s in load().systems)
        problems.append(f"it is {found.os or 'unknown'} {found.version}; the facts know {known}")
    elif system.glibc != found.glibc:
        problems.append(f"its glibc is {found.glibc}, and that of {found.os} {found.version} is {system.glibc}")
    problems += [
        f"it has torch {version} already ({folder}); a second one would double it"
        for folder, version in found.torch.items()
    ]
    if "/opt/venv/bin/python3" in found.pythons and not found.torch:
        problems.append("it has an environment in /opt/venv, where imagekit's goes: their packages would be mixed")
    own = found.pythons.get("/usr/bin/python3")
    if system and own and own != system.python:
        problems.append(f"its /usr/bin/python3 is {own}, and that of {found.os} {found.version} is {system.python}")
    if problems or system is None:
        hint = "use the image that this one was made from, or --base distro:bookworm"
        raise ImpossibleWish(f"nothing can be built on {name}", details=problems, hint=hint)
    return system.suite


def cuda_image(base: str, cuda: str, release: Release, facts: Facts) -> str:
    """The `image:` base of `cuda:FLAVOUR[-ubuntuNN.NN]`: the newest nvidia/cuda that torch's wheels fit."""
    flavour, _, os = base.partition(":")[2].partition("-")
    if flavour not in FLAVOURS:
        near = difflib.get_close_matches(flavour, FLAVOURS, 1)
        raise UsageError(
            f"{base!r} is not a base", hint=f"did you mean cuda:{near[0]}?" if near else f"cuda:{'|'.join(FLAVOURS)}"
        )
    toolkit = facts.toolkit(cuda)
    fits = {s.version for s in facts.systems if s.id == "ubuntu" and s.python in release.pythons}
    for image in reversed(toolkit.images if toolkit else ()):
        for tag in sorted(image.tags(flavour), reverse=True):
            if tag.rpartition("-ubuntu")[2] in fits and (not os or tag.endswith(os)):
                return f"image:nvidia/cuda:{tag}"
    raise ImpossibleWish(
        f"there is no nvidia/cuda image {flavour} for CUDA {cuda}{f' on {os}' if os else ''} with a Python for torch "
        f"{release.version}",
        hint="name one: --base image:nvidia/cuda:<tag>; or --base distro:bookworm, torch brings its CUDA libraries",
    )


def locked(base: str, system: OperatingSystem, base_map: Mapping[str, str], found: Foundation | None) -> Base:
    if not base.startswith("image:"):
        return Base(kind="distro", name=system.suite, packages=base_packages(system.suite))
    name, digest = reference(base, base_map)
    return Base(kind="image", name=name, digest=digest or (found.digest if found else ""), found=found)


def notes(found: Foundation | None, cuda: str, toolkit: Toolkit | None) -> list[str]:
    """What a person should know who builds on this image."""
    if found is None:
        return []
    lines = []
    for interpreter, version in found.pythons.items():
        if interpreter != "/usr/bin/python3":
            lines.append(f"the base's Python {version} ({interpreter}) is not used: packages go to /usr/bin/python3's")
    for version in found.cuda:
        use = "nvcc is there for what compiles" if found.nvcc else "nothing of the stack uses them"
        lines.append(
            f"the base has CUDA {version} of its own; torch brings its libraries for {cuda}: {use} [cuda-twice]"
        )
    required = found.env.get("NVIDIA_REQUIRE_CUDA", "")
    if required and toolkit:
        lines.append(
            f"the base sets NVIDIA_REQUIRE_CUDA ({required.split()[0]} ...): a container does not start on drivers "
            f"that it leaves out, although the wheels run from {toolkit.compat_driver} on [cuda/{toolkit.version}]"
        )
    if found.env.get("NVIDIA_VISIBLE_DEVICES"):
        lines.append(
            f"the base sets NVIDIA_VISIBLE_DEVICES={found.env['NVIDIA_VISIBLE_DEVICES']}: emptied, because a pod that "
            "asked for no GPU would see all of them"
        )
    for name in ("PYTHONPATH", "PYTHONHOME"):
        if found.env.get(name):
            lines.append(f"the base sets {name}: emptied, because it would put other packages before the locked ones")
    return lines


def emptied(found: Foundation | None) -> dict[str, str]:
    """Variables of a base that an image must not have. A Dockerfile cannot unset one, only empty it."""
    names = ("NVIDIA_VISIBLE_DEVICES", "PYTHONPATH", "PYTHONHOME")
    return {name: "" for name in names if found is not None and found.env.get(name)}
