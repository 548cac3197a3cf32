"""The words of a refusal: what was asked, what the facts say, what works nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imagekit.compat import unknown
from imagekit.compat.choose import AXES, Asked, Choice, More, best, nearest
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, fits
from imagekit.compat.question import Question, answer
from imagekit.compat.split import Part, split
from imagekit.errors import ImpossibleWish


def refusal(
    facts: Facts, wishes: Asked, preferences: Asked, targets: tuple[Node, ...] = (), more: More = lambda _: ()
) -> ImpossibleWish:
    """`targets`: pools that the image must run on; `more`: what of them a choice does not meet."""
    meets = best(facts, wishes, preferences)
    asked = [("torch", wishes.torch), ("CUDA", wishes.cuda), ("Python", wishes.python), ("base", wishes.suite)]
    lines = ["", *_column("asked", [f"{f'{name} {value}':<16} --{name.lower()}" for name, value in asked if value])]
    lines += _column("" if wishes != Asked() else "asked", _few([_target(node) for node in targets]))
    lines += _column("facts", said(facts, wishes) if meets is None else _few(_not_there(facts, meets, targets)))
    found = nearest(facts, wishes, preferences, more=more)
    lines += ["", "what works, nearest first"] if found else []
    for number, (choice, broken) in enumerate(found, 1):
        lines += _offer(str(number), options(choice, wishes, broken), price(facts, choice))
    if targets and meets:
        lines += _split(facts, wishes, preferences, targets)
    said_no = headline(wishes) + (" that runs on all targets" if targets and meets else "")
    return ImpossibleWish(said_no, details=[*lines, ""], hint="nothing was built or changed")


def refused_by_fact(
    facts: Facts, choice: Choice, wishes: Asked, why: Sequence[str], versions: Mapping[str, str],
    targets: tuple[Node, ...],
) -> ImpossibleWish:  # fmt: skip
    """A choice that a fact about packages refuses; `versions`: those that were asked, besides torch."""
    asked = replace(wishes, torch=choice.release.version)
    found = answer(Question(asked, dict(versions), targets), facts).offers
    lines = ["", "what works, nearest first"] if found else []
    for number, offer in enumerate(found, 1):
        # a torch alone means the build that pip takes
        changes = offer.changes if offer.choice.variant.pypi_default else ("cuda", *offer.changes)
        lines += _offer(str(number), options(offer.choice, asked, changes), price(facts, offer.choice))
    return ImpossibleWish("the facts refuse this", details=[*why, *lines, *([""] if found else [])])


def _target(node: Node) -> str:
    model = node.gpu.name if node.gpu else node.model
    said = "" if node.name.startswith(model) else f"{model}, driver {node.driver}"
    return f"target {node.name:<9} {said}".rstrip()


def _split(facts: Facts, wishes: Asked, preferences: Asked, targets: tuple[Node, ...]) -> list[str]:
    parts = split(facts, wishes, preferences, targets)
    axes = tuple(axis for axis in ("torch", "cuda", "suite") if axis != "suite" or wishes.suite or _suites(parts) > 1)
    lines = ["", f"or {len(parts)} images, which together run on all targets"] if parts else []
    for part in parts:
        lines += _offer("", options(part.choice, Asked(), axes), ", ".join(_few([node.name for node in part.targets])))
    return lines


def _suites(parts: tuple[Part, ...]) -> int:
    return len({part.choice.system.suite for part in parts})


def _not_there(facts: Facts, choice: Choice, targets: tuple[Node, ...]) -> list[str]:
    """Why the best choice for the versions that were asked does not run on the targets."""
    found = (fit for node in targets for fit in fits(node, choice.release, choice.variant, facts))
    return [f"{fit.text}   [{fit.fact}]" for fit in found if fit.verdict == "no"]


FEW = 10
"""Lines about targets that a refusal has."""


def _few(lines: list[str]) -> list[str]:
    return lines if len(lines) <= FEW else [*lines[: FEW - 1], f"and {len(lines) - FEW + 1} more"]


def _offer(number: str, ask: str, about: str) -> list[str]:
    start = f"  {number:<2} {ask:<44}"
    return [f"{start} {about}"] if len(ask) <= 44 else [start, f"{'':<49} {about}"]


def _column(title: str, lines: list[str]) -> list[str]:
    return [f"{title if number == 0 else '':<7} {line}" for number, line in enumerate(lines)]


def headline(wishes: Asked) -> str:
    words = [f"torch {wishes.torch}" if wishes.torch else "torch"]
    words += [f"for CUDA {wishes.cuda}"] if wishes.cuda else []
    words += [f"for Python {wishes.python}"] if wishes.python else []
    words += [f"on {wishes.suite}"] if wishes.suite else []
    return f"there is no {' '.join(words)}"


def said(facts: Facts, wishes: Asked) -> list[str]:
    """What the facts say about the versions that were asked."""
    lines = []
    known = [r for r in facts.releases if r.version == wishes.torch or r.version.startswith(wishes.torch + ".")]
    if wishes.torch and not known:
        first, last = facts.releases[0].version, facts.releases[-1].version
        lines.append(f"torch {first} to {last} are known (read {facts.collected['torch']}); {wishes.torch} is not")
        lines += [unknown.WAY_OUT] if unknown.newer(facts, wishes.torch) else []
    elif wishes.torch:
        release = known[-1]
        builds = ", ".join(v.name + (" (the one on PyPI)" if v.pypi_default else "") for v in release.variants)
        lines.append(f"torch {release.version} is built as {builds}   [torch/{release.version}]")
        if wishes.python and wishes.python not in release.pythons:
            span = f"{release.pythons[0]} to {release.pythons[-1]}"
            lines.append(f"torch {release.version} has wheels for Python {span}   [torch/{release.version}]")
    if wishes.cuda:
        name = "cu" + wishes.cuda.replace(".", "")
        having = [r.version for r in facts.releases if r.variant(name)]
        if having:
            lines.append(f"{name} wheels exist from torch {having[0]} to {having[-1]}   [torch/{having[-1]}]")
        else:
            every = sorted(
                {v.cuda for r in facts.releases for v in r.variants}, key=lambda c: [int(p) for p in c.split(".")]
            )
            lines.append(f"no torch was built for CUDA {wishes.cuda}; there are {', '.join(every)}")
    if wishes.python and not facts.suites_with_python(wishes.python):
        having_python = ", ".join(f"{s.python} ({s.suite})" for s in facts.systems)
        lines.append(f"no distribution in the facts has Python {wishes.python}; there are {having_python}   [os]")
    system = facts.suite(wishes.suite) if wishes.suite else None
    if system:
        lines.append(f"{system.suite} has Python {system.python} and glibc {system.glibc}   [os/{system.suite}]")
    return lines


def options(choice: Choice, wishes: Asked, broken: tuple[str, ...], suite: str = "--base distro:") -> str:
    """What to ask instead: versions as options of the command line, then the rest in words."""
    value = {
        "torch": choice.release.version, "cuda": choice.variant.cuda, "python": choice.system.python,
        "suite": choice.system.suite,
    }  # fmt: skip
    axes = [axis for axis in AXES if getattr(wishes, axis) or axis in broken]
    words = _few([change for change in broken if change not in AXES])
    start = {"torch": "--torch ", "cuda": "--cuda ", "python": "--python ", "suite": suite}
    return "; ".join([" ".join(start[axis] + value[axis] for axis in axes or ["torch", "cuda"]), *words])


def price(facts: Facts, choice: Choice) -> str:
    """What a choice costs: the driver it needs, the GPUs it runs on, where its wheels are."""
    toolkit = facts.toolkit(choice.variant.cuda)
    driver = f"driver >= {toolkit.compat_driver}" if toolkit else ""
    architectures = choice.variant.gpu_architectures
    span = f"GPU {architectures[0]} .. {architectures[-1]}" if architectures else ""
    where = "" if choice.variant.pypi_default else "; wheels from the PyTorch index"
    return "needs " + ", ".join(part for part in (driver, span) if part) + where
