"""A question as people write it: 2.9, v2.9 or cu118; RTX 3090, 3090, sm_86 or 8.6; numpy==2.0.0."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from imagekit.compat import nodes, spelling
from imagekit.compat.choose import Asked
from imagekit.compat.documents import Document
from imagekit.compat.facts import Facts, load
from imagekit.compat.nodes import Node
from imagekit.compat.question import Question
from imagekit.compat.rows import Gpu
from imagekit.compat.rules import Finding
from imagekit.errors import UsageError

T = TypeVar("T")


def question(
    facts: Facts, *, torch: str = "", cuda: str = "", python: str = "", os: str = "", base: str = "",
    packages: Iterable[str] = (), torchvision: str = "", torchaudio: str = "", gpus: Iterable[str] = (),
    drivers: Iterable[str] = (), fleet: tuple[Node, ...] = (), documents: Iterable[Document] = (), today: str = "",
) -> Question:  # fmt: skip
    """`fleet`: nodes besides `gpus`; `documents`: what files say where no option does.

    Raises UsageError that lists everything that cannot be read.
    """
    problems: list[str] = []
    said: list[Finding] = []
    pins: dict[str, str] = {}
    axes: dict[str, str] = {}
    given = {"torch": torch, "CUDA": cuda, "Python": python, "base": base}
    compiled = None
    read = functools.partial(_read, problems)
    for document in documents:
        own = {"torch": document.torch, "CUDA": document.cuda, "Python": document.python, "base": document.base}
        for axis, value in own.items():
            if value and not given[axis] and axes.setdefault(axis, value) != value:
                text = f"two files ask for {axis} {axes[axis]} and {value}: the first one was judged"
                said.append(Finding("pins", "no", text, "pip", f"one {axis}"))
        torch, cuda = torch or document.torch, cuda or document.cuda
        python, base, os = python or document.python, base or document.base, os or document.os
        for name, pinned in document.pins.items():
            if Version(pins.setdefault(name, pinned)) != Version(pinned):
                text = f"two files pin {name}, to {pins[name]} and to {pinned}: pip refuses them together"
                said.append(Finding("pins", "no", text, "pip", f"one version of {name}"))
        said += document.findings
        compiled = document.compiled or compiled
    image = base.removeprefix("image:").removeprefix("docker.io/")
    version, built = _torch(facts, torch, cuda, image, problems)
    suite = read("--os", _suite, os, "")
    standing = read("--base", _suite, "" if image.startswith("pytorch/pytorch:") else base, "")
    if suite and standing and suite != standing:
        problems.append(f"--os {os} and --base {base}: two distributions")
    beside = [f"{name}=={v}" for name, v in (("torchvision", torchvision), ("torchaudio", torchaudio)) if v]
    versions: dict[str, str] = {}
    for name, pinned in (read("--package", _pin, line, ("", "")) for line in (*packages, *beside)):
        if name and Version(versions.setdefault(name, pinned)) != Version(pinned):
            problems.append(f"{name} is asked to be {versions[name]} and {pinned}")
    versions = pins | versions
    if "torch" in versions:
        problems.append("--package: the version of torch is --torch")
    asked = Asked(
        torch=version, cuda=built, python=read("--python", spelling.python, python, ""), suite=suite or standing
    )
    its_nodes = (*_nodes(facts, gpus, drivers, problems), *fleet)
    if problems:
        raise UsageError("the question cannot be read", details=problems)
    return Question(asked, versions, its_nodes, base=image, said=tuple(said), today=today, compiled=compiled)


def python_of(facts: Facts, python: str, os: str, base: str) -> str:
    """The Python that is asked, or that of the distribution; "" where neither is said or can be read."""
    try:
        if python:
            return spelling.python(python)
        system = facts.suite(_suite(os or base)) if os or base else None
    except UsageError:  # which is said with all others
        return ""
    return system.python if system else ""


def _torch(facts: Facts, torch: str, cuda: str, image: str, problems: list[str]) -> tuple[str, str]:
    """(torch, CUDA) of the options, else of the tag of a pytorch/pytorch image as far as there is such a build."""
    version, variant = _read(problems, "--torch", spelling.torch, torch, ("", ""))
    toolkit = _read(problems, "--cuda", spelling.cuda, cuda, "")
    built = spelling.cuda(variant) if variant else ""
    if built and toolkit and built != toolkit:
        problems.append(f"--torch {torch} is a build for CUDA {built}, and --cuda {cuda} is another one")
    inside = re.match(r"pytorch/pytorch:(\d+\.\d+\.\d+)-cuda(\d+\.\d+)", image)
    if inside and not version:
        version = inside[1]
        built = inside[2] if inside[2] in {row.cuda for row in facts.variants_of(version)} else built
    return version, toolkit or built


def _read(problems: list[str], option: str, parse: Callable[[str], T], text: str, nothing: T) -> T:
    """What a text means; where it means nothing, that is one more problem."""
    try:
        return parse(text) if text else nothing
    except UsageError as error:
        problems.append(f"{option}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
        return nothing


def _suite(text: str) -> str:
    """The suite of bookworm, debian:12, distro:bookworm, or of an image whose name tells it."""
    system = load().suite(text)
    if system:
        return system.suite
    from imagekit.compat import bases  # pydantic, which no other question needs: a third of the start-up time

    if text.startswith(("distro:", "image:", "cuda:")):
        return bases.suite_of(text, None)
    return bases.suite_of(f"image:{text}" if ":" in text else f"distro:{text}", None)


def _pin(line: str) -> tuple[str, str]:
    try:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        if specifier.operator != "==" or "*" in specifier.version:
            raise ValueError
        return canonicalize_name(requirement.name), str(Version(specifier.version))
    except (InvalidRequirement, InvalidVersion, ValueError):
        raise UsageError(f"{line!r} is not an exact version", hint="write it as numpy==2.0.0") from None


def _nodes(facts: Facts, gpus: Iterable[str], drivers: Iterable[str], problems: list[str]) -> tuple[Node, ...]:
    """One node for each GPU. One driver is that of all of them, several go with the GPUs in their order."""
    models, versions = list(gpus), list(drivers)
    if len(versions) > 1 and len(versions) != len(models):
        problems.append(f"{len(versions)} times --driver for {len(models)} times --gpu: give one, or one for each GPU")
        return ()
    if not models and versions:
        models = [""]
    found = []
    for number, model in enumerate(models):
        nothing: tuple[str, Gpu | None] = ("", None)
        sm, row = _read(problems, "--gpu", lambda text: nodes.gpu(text, facts), model, nothing)
        given = versions[number] if len(versions) > 1 else "".join(versions)
        driver = _read(problems, "--driver", nodes.driver, given, "")
        found.append(Node(row.name if row else sm, sm, row, driver))
    return tuple(found)
