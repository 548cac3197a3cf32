"""Machines that an image is to run on: their GPU and driver, and whether a build of torch runs there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.version import Version

from imagekit.compat.facts import Facts
from imagekit.compat.rows import FROM_IMAGE, Gpu, Release, Toolkit, Variant
from imagekit.errors import UsageError


@dataclass(frozen=True)
class Node:
    """A kind of machine. What is empty is not known, and nothing is said about it."""

    name: str
    """For people: a pool of the site, or what was asked."""
    sm: str = ""
    """Architecture of its GPU: "sm_86"."""
    gpu: Gpu | None = None
    driver: str = ""
    """Version of the Linux driver: "535.183.01"."""
    count: int = 1
    pool: bool = False
    """Whether people know it by its name, as they do a pool of the site's fleet."""
    model: str = ""
    """The GPU as the site writes it."""


@dataclass(frozen=True)
class Fit:
    """Whether one thing of a node goes with a build of torch."""

    axis: str
    """gpu | driver"""
    verdict: str
    """yes | no | note | unknown"""
    text: str
    fact: str
    tip: str = ""


def gpu(text: str, facts: Facts) -> tuple[str, Gpu | None]:
    """(architecture, model) of "RTX 3090", "sm_86" or "8.6"; an architecture alone has no model.

    Raises UsageError for what is neither, with the names that come near.
    """
    plain = re.fullmatch(r"(?:sm_?|compute_)(\d{2,3})a?", text.strip().lower())
    dotted = re.fullmatch(r"(\d{1,2})\.(\d)", text.strip())
    if plain or dotted:
        found = f"sm_{plain[1] if plain else dotted[1] + dotted[2]}"  # type: ignore[index]
        if found not in {row.sm for row in facts.gpus} | set(_architectures(facts)):
            raise UsageError(f"the facts have no GPU of architecture {text}", hint="as in 8.6 or sm_86")
        return found, None
    model = facts.gpu(text)
    if model is None:
        every = {name.lower(): name for row in facts.gpus for name in (row.name, *row.aliases)}
        near = difflib.get_close_matches(text.lower(), every, 3, 0.6)
        means = " or ".join(every[name] for name in near)
        hint = f"did you mean {means}?" if near else "its architecture does as well: --gpu sm_90"
        raise UsageError(f"the facts do not know the GPU {text!r}", hint=hint)
    return model.sm, model


def driver(text: str) -> str:
    """ "470.57.02", "535" or "R535". Raises UsageError."""
    match = re.fullmatch(r"[rR]?(\d{3,4}(?:\.\d{1,3}){0,2})", text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a driver version", hint="as nvidia-smi prints it: 535.183.01")
    return match[1]


def numbers(version: str) -> tuple[int, ...]:
    """A driver version for comparing: a branch alone ("535") is before all its releases."""
    return tuple(map(int, re.findall(r"\d+", version)))


def fits(node: Node, release: Release, variant: Variant, facts: Facts) -> Iterator[Fit]:
    """What can be said about a node and a build of torch."""
    name = f"torch {release.version}+{variant.name}"
    fact = f"torch/{release.version}/{variant.name}"
    if FROM_IMAGE in variant.sources:
        name, fact = f"{name} of this image", "its libraries"
    toolkit = facts.toolkit(variant.cuda)
    by_ptx = False
    if node.sm:
        by = runs(variant, node.sm)
        by_ptx = by.startswith("compute_")
        has = span(variant.gpu_architectures or ())
        last = node.gpu.max_cuda if node.gpu else None
        if variant.gpu_architectures is None and last and Version(last) < Version(variant.cuda):
            yield Fit("gpu", "no", f"CUDA {last} is the last for {_shown(node)}", f"gpus/{named(node)}")
        elif variant.gpu_architectures is None:
            yield Fit("gpu", "unknown", f"for which GPUs {name} is compiled is not in the facts", fact)
        elif not by:
            yield Fit("gpu", "no", f"{_shown(node)} has no code in {name}, which is compiled for {has}", fact)
        elif by_ptx:
            yield Fit("gpu", "note", f"{_shown(node)} runs {name} from PTX ({by}), compiled at the first start", fact)
        else:
            yield Fit("gpu", "yes", f"{_shown(node)} runs the code for {by} in {name}", fact)
    elif node.model:
        text = f"{node.name}: the facts do not know the GPU {node.model!r}, so nobody can say"
        yield Fit("gpu", "unknown", text, "gpus")
    if node.driver and toolkit:
        yield from _driver(node, toolkit, by_ptx, _last_branch(node, facts))


def _last_branch(node: Node, facts: Facts) -> str | None:
    """The last branch of the driver that knows a node's GPU; that of its architecture, where the model was not said."""
    rows = [node.gpu] if node.gpu else [row for row in facts.gpus if row.sm == node.sm]
    return next((row.last_driver_branch for row in rows if row.last_driver_branch), None)


def _driver(node: Node, toolkit: Toolkit, by_ptx: bool, branch: str | None) -> Iterator[Fit]:
    """A driver runs programs of every older CUDA, and of every newer one of its own major version; code in PTX needs
    the driver of its own toolkit (https://docs.nvidia.com/deploy/cuda-compatibility/)."""
    fact, cuda = f"cuda/{toolkit.version}", toolkit.version
    has, whose = numbers(node.driver), f"{node.name}: " if node.pool else ""
    if branch and has[0] > int(branch):
        yield Fit(
            "driver", "no", f"{whose}driver {node.driver} does not run {_shown(node)}: branch {branch} is its last",
            f"gpus/{node.gpu.name if node.gpu else node.sm}", f"driver of branch {branch}",
        )  # fmt: skip
    elif has < numbers(toolkit.compat_driver):
        text = f"{whose}driver {node.driver} is too old for CUDA {cuda}, which needs {toolkit.compat_driver}"
        yield Fit("driver", "no", text, fact, f"driver >= {toolkit.compat_driver}")
    elif toolkit.driver and has < numbers(toolkit.driver):
        if by_ptx:
            text = f"{whose}driver {node.driver} does not compile PTX of CUDA {cuda}, which needs {toolkit.driver}"
            yield Fit("driver", "no", text, fact, f"driver >= {toolkit.driver}")
        else:
            text = (
                f"{whose}driver {node.driver} runs CUDA {cuda} through minor-version compatibility (from "
                f"{toolkit.compat_driver}); CUDA {cuda} came with {toolkit.driver}"
            )
            yield Fit("driver", "note", text, fact)
    else:
        yield Fit("driver", "yes", f"{whose}driver {node.driver} runs CUDA {cuda}", fact)


def changes(nodes: Iterable[Node], release: Release, variant: Variant, facts: Facts) -> Iterator[str]:
    """What must be otherwise for a build to run on all nodes: "without Tesla V100", "driver >= 525.60.13"."""
    found: dict[str, None] = {}
    for node in nodes:
        bad = {fit.axis: fit for fit in fits(node, release, variant, facts) if fit.verdict == "no"}
        if "gpu" in bad:
            found[f"without {named(node)}"] = None
        elif "driver" in bad:
            found[f"{bad['driver'].tip}{f' on {node.name}' if node.pool else ''}"] = None
    yield from found


def named(node: Node) -> str:
    """A pool by its name, any other node by its GPU."""
    return node.name if node.pool or not node.gpu else node.gpu.name


def runs(variant: Variant, sm: str) -> str:
    """The code of a build that a GPU runs: "sm_80", or "compute_80" by compiling its PTX; "" for none.

    Code for X.y runs on every X.z with z >= y, PTX for X.y on every newer GPU (CUDA C++ Programming Guide, 5.1).
    """
    wanted = number(sm)
    compiled = [n for n in map(number, variant.gpu_architectures or ()) if n // 10 == wanted // 10 and n <= wanted]
    if compiled:
        return f"sm_{max(compiled)}"
    ptx = [n for n in map(number, variant.ptx or ()) if n <= wanted]
    return f"compute_{max(ptx)}" if ptx else ""


def span(architectures: tuple[str, ...]) -> str:
    """sm_50 .. sm_90"""
    if len(architectures) < 3:
        return " ".join(architectures) or "none"
    return f"{architectures[0]} .. {architectures[-1]}"


def _shown(node: Node) -> str:
    model = f"{node.gpu.name} ({node.sm})" if node.gpu else node.sm
    return f"{node.name}: {model}" if node.pool else model


def number(architecture: str) -> int:
    """sm_90 and compute_90 are 90."""
    return int(re.sub(r"\D", "", architecture))


def _architectures(facts: Facts) -> set[str]:
    return {sm for release in facts.releases for variant in release.variants for sm in variant.gpu_architectures or ()}
