"""Operators in CUDA that come as source (deepspeed's): compiled with the image where an nvcc is at hand, otherwise at
first use, and which of the two is said.

An nvcc is at hand in a base that has the toolkit of torch's CUDA, or on the index, where CUDA 13 has it as wheels. It
is never taken from another CUDA: torch's extensions refuse another major version, deepspeed some minor ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from imagekit.compat.choose import Choice
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, number
from imagekit.compat.rows import Feature, Recipe, Toolkit
from imagekit.foundation import Foundation
from imagekit.resolution import SourceBuild

SITE = "/opt/venv/lib/python/site-packages"


@dataclass(frozen=True)
class Nvcc:
    home: str
    wheels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """What is compiled for."""

    names: tuple[str, ...]
    """Oldest first: ("sm_80", "sm_90")."""
    whose: str
    left_out: tuple[str, ...] = ()
    """One line each."""


@dataclass(frozen=True)
class Compiled:
    builds: tuple[SourceBuild, ...]
    notes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label -> "jit", or "prebuilt" and the architectures."""


def ahead(
    builds: list[SourceBuild], features: list[Feature], facts: Facts, choice: Choice, found: Foundation | None,
    unseen: bool, nodes: tuple[Node, ...] | None,
) -> Compiled:  # fmt: skip
    """The builds, with ops where they can be compiled: of a package whose feature is asked for, which brings g++.

    `found`: what the base image says of itself; `unseen`: there is a base image, and it cannot be asked;
    `nodes`: what the image is to run on; None without a fleet, that is anything that torch runs on.
    """
    asked = {canonicalize_name(Requirement(line).name) for feature in features for line in feature.packages}
    done, notes, labels = list(builds), [], {}
    nvcc = _nvcc(choice, facts.toolkit(choice.variant.cuda), found, unseen)
    code = _architectures(choice, facts, nodes)
    for place, build in enumerate(builds):
        package = build.package
        recipes = {recipe.versions: recipe for recipe in facts.recipes if recipe.package == package and recipe.ops}
        if not recipes or package not in asked:
            continue
        recipe, jit = recipes.get(build.versions), ""
        if recipe is None:
            jit = "it comes from a git repository"
        elif nodes == ():
            jit = "it runs on no pool of the fleet"
        elif isinstance(nvcc, str):
            jit = nvcc
        elif not code.names:
            jit = f"nvcc {choice.variant.cuda} compiles for none of {code.whose}"
        else:
            done[place] = _with_ops(build, recipe, nvcc, code)
            names = ", ".join(module.rpartition(".")[2].removesuffix("_op") for module in recipe.ops)
            architectures = " ".join(code.names)
            notes.append(
                f"{package}'s ops {names} are compiled with the image for {architectures}, {code.whose}; the others "
                "at first use (JIT)"
            )
            notes += code.left_out
        if jit:
            notes.append(f"{package}'s ops are compiled at first use (JIT), not with the image: {jit}")
        labels[f"io.imagekit.{package}-ops"] = "jit" if jit else " ".join(["prebuilt", *code.names])
    return Compiled(tuple(done), tuple(notes), labels)


def _with_ops(build: SourceBuild, recipe: Recipe, nvcc: Nvcc, code: Code) -> SourceBuild:
    wanted = {**recipe.ops_env, **dict.fromkeys(recipe.ops.values(), "1")}
    wanted["TORCH_CUDA_ARCH_LIST"] = ";".join(map(_capability, code.names))
    return build.model_copy(update={
        "env": {**build.env, **wanted},
        "requires": (*build.requires, *recipe.ops_requires),
        "ops": tuple(recipe.ops),
        "architectures": code.names,
        "cuda_home": nvcc.home,
        "build_requires": (*nvcc.wheels, *recipe.ops_build_requires),
    })  # fmt: skip


def _nvcc(choice: Choice, toolkit: Toolkit | None, found: Foundation | None, unseen: bool) -> Nvcc | str:
    """The compiler, or why there is none."""
    cuda, system = choice.variant.cuda, choice.system
    if toolkit and toolkit.host_gcc and not SpecifierSet(toolkit.host_gcc).contains(system.gcc):
        name = f"{system.id.capitalize()} {system.version}"
        return f"nvcc {cuda} takes gcc {toolkit.host_gcc}, and {name} has {system.gcc}"
    if found and found.nvcc and cuda in found.cuda:
        return Nvcc(f"/usr/local/cuda-{cuda}")
    if toolkit and toolkit.wheels and toolkit.wheels_home:
        return Nvcc(f"{SITE}/{toolkit.wheels_home}", toolkit.wheels)
    if found and found.nvcc and found.cuda:
        return f"the base's nvcc is of CUDA {', '.join(found.cuda)}, torch's CUDA is {cuda}"
    if unseen:
        return "the base image is not here, so that nobody knows whether it has an nvcc"
    return f"no nvcc {cuda} is at hand; --base cuda:devel has one"


def _architectures(choice: Choice, facts: Facts, nodes: tuple[Node, ...] | None) -> Code:
    """Those of the nodes; without a fleet those that torch itself was compiled for, so that no GPU loses by it."""
    toolkit = facts.toolkit(choice.variant.cuda)
    whose = "the GPUs of the fleet" if nodes else "as torch itself"
    names = {node.sm for node in nodes if node.sm} if nodes else set(choice.variant.gpu_architectures or ())
    fits = {name for name in names if toolkit and _within(name, toolkit)}
    left_out = [f"nvcc {choice.variant.cuda} does not compile for {name}" for name in sorted(names - fits, key=number)]
    return Code(tuple(sorted(fits, key=number)), whose, tuple(left_out))


def _within(name: str, toolkit: Toolkit) -> bool:
    oldest, newest = toolkit.min_sm, toolkit.max_sm
    return (oldest is None or number(oldest) <= number(name)) and (newest is None or number(name) <= number(newest))


def _capability(name: str) -> str:
    """sm_86 -> 8.6, sm_120 -> 12.0: how TORCH_CUDA_ARCH_LIST has it."""
    number = name.removeprefix("sm_")
    return f"{number[:-1]}.{number[-1]}"
