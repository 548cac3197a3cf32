"""Which torch, CUDA, Python and base: a search over everything that the facts say exists.

A wish must hold; a preference is given up where it stands in the way of a wish, dearest last: torch, then CUDA, then
Python, then the base. With no way to meet all wishes, the same search tells what comes nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from imagekit.compat.facts import Facts
from imagekit.compat.rows import OperatingSystem, Release, Variant

if TYPE_CHECKING:
    from imagekit.resolution import Reason


@dataclass(frozen=True)
class Asked:
    """Normalised; "" = not asked."""

    torch: str = ""
    """2.4.1, or a minor such as 2.9."""
    cuda: str = ""
    python: str = ""
    suite: str = ""


@dataclass(frozen=True)
class Choice:
    release: Release
    variant: Variant
    system: OperatingSystem


AXES = ("torch", "cuda", "python", "suite")


def everything(facts: Facts) -> Iterator[Choice]:
    """Every torch, variant and distribution that go together: a wheel for its Python, a glibc that is new enough."""
    for release in facts.releases:
        for system in facts.systems:
            if system.python in release.pythons:
                for variant in release.variants:
                    if Version(system.glibc) >= Version(variant.glibc):
                        yield Choice(release, variant, system)


def misses(choice: Choice, asked: Asked) -> tuple[str, ...]:
    """The axes on which a choice is not what was asked."""
    has = {
        "torch": _is(choice.release.version, asked.torch),
        "cuda": asked.cuda in ("", choice.variant.cuda),
        "python": asked.python in ("", choice.system.python),
        "suite": asked.suite in ("", choice.system.suite),
    }
    return tuple(axis for axis in AXES if not has[axis])


More = Callable[["Choice"], tuple[str, ...]]
"""What else of what was asked a choice breaks, in words: "without V100"."""


def best(facts: Facts, wishes: Asked, preferences: Asked, more: More = lambda _: ()) -> Choice | None:
    """The choice that meets all wishes and gives up the least; None when nothing meets them."""
    fits = [choice for choice in everything(facts) if not misses(choice, wishes) and not more(choice)]
    return min(fits, key=lambda choice: cost(facts, choice, wishes, preferences), default=None)


def nearest(
    facts: Facts, wishes: Asked, preferences: Asked, count: int = 3, more: More = lambda _: ()
) -> list[tuple[Choice, tuple[str, ...]]]:  # fmt: skip
    """Up to `count` choices that break few wishes, with the axes they break; none whose breaks hold those of another.

    First the best for each set of axes that could be broken, then the second best of each, those that keep the torch
    that was wished before the others; never two of one torch minor that differ in nothing else the user would see.
    """
    pools: dict[tuple[str, ...], list[Choice]] = {}
    for choice in everything(facts):
        pools.setdefault((*misses(choice, wishes), *more(choice)), []).append(choice)
    kinds = {broken: frozenset(change.partition(" >= ")[0] for change in broken) for broken in pools}
    fewest = min((len(broken) for broken in pools), default=0)
    ranked: list[tuple[int, int, bool, tuple[object, ...], Choice, tuple[str, ...]]] = []
    for broken, choices in pools.items():
        if len(broken) > fewest + 1 or any(other < kinds[broken] for other in kinds.values()):
            continue
        seen: set[tuple[str, ...]] = set()
        for choice in sorted(choices, key=lambda c: _closeness(facts, c, wishes, preferences, broken)):
            visible = _visible(choice, wishes, broken)
            if visible not in seen:
                seen.add(visible)
                place = len(seen)
                close = _closeness(facts, choice, wishes, preferences, broken)
                ranked.append((place, len(broken), ("torch" in broken) == (place > 1), close, choice, broken))
    ranked.sort(key=lambda entry: entry[:4])
    return [(choice, broken) for *_, choice, broken in ranked[:count]]


def _closeness(
    facts: Facts, choice: Choice, wishes: Asked, preferences: Asked, broken: tuple[str, ...]
) -> tuple[object, ...]:
    default = "cuda" in broken and not choice.variant.pypi_default
    return (
        not choice.variant.official,
        default,
        _distance(facts, choice, wishes),
        *cost(facts, choice, wishes, preferences),
    )


def _visible(choice: Choice, wishes: Asked, broken: tuple[str, ...]) -> tuple[str, ...]:
    minor = ".".join(choice.release.version.split(".")[:2])
    shown = {"torch": minor, "cuda": choice.variant.cuda, "python": choice.system.python, "suite": choice.system.suite}
    return tuple(shown[axis] for axis in AXES if getattr(wishes, axis) or axis in broken)


def _is(version: str, asked: str) -> bool:
    return not asked or version == asked or (asked.count(".") == 1 and version.startswith(asked + "."))


def cost(facts: Facts, choice: Choice, wishes: Asked, preferences: Asked) -> tuple[object, ...]:
    given_up = misses(choice, preferences)
    versions = [release.version for release in facts.releases]
    place = versions.index(choice.release.version)
    if wishes.torch:
        far = -place  # a minor was asked: its newest patch
    else:
        known = [i for i, version in enumerate(versions) if _is(version, preferences.torch)]
        far = abs(place - known[-1]) if known and preferences.torch else -place
    return (
        *(axis in given_up for axis in AXES),
        far,
        not choice.variant.pypi_default,
        not choice.variant.official,
        -Version(choice.variant.cuda).major * 100 - Version(choice.variant.cuda).minor,
        -Version(choice.system.version).major,
    )


def _distance(facts: Facts, choice: Choice, wishes: Asked) -> float:
    """How far a choice is from the versions that were wished, in releases and CUDA minors."""
    far = 0.0
    if wishes.torch:
        near = [i for i, r in enumerate(facts.releases) if _is(r.version, wishes.torch)]
        near = near or [sum(Version(r.version) < Version(wishes.torch) for r in facts.releases)]  # where it would be
        here = next(i for i, r in enumerate(facts.releases) if r.version == choice.release.version)
        far += min((abs(here - i) for i in near), default=0)
    if wishes.python:
        far += abs(int(choice.system.python.split(".")[1]) - int(wishes.python.split(".")[1]))
    if wishes.cuda:
        far += abs(float(choice.variant.cuda) - float(wishes.cuda)) * 10
    return far


def given_up(choice: Choice, asked: Asked, preferred: Asked, targets: Iterable[str] = ()) -> tuple[str, ...]:
    """One line for each preference that stood in the way of a wish, or of a pool in `targets`."""
    has = {
        "torch": choice.release.version,
        "cuda": choice.variant.cuda,
        "python": choice.system.python,
        "suite": choice.system.suite,
    }
    wishes = [f"{axis} {getattr(asked, axis)}" for axis in has if getattr(asked, axis)]
    wishes += [f"target {name}" for name in targets]
    ask = f"{' and '.join(wishes)} {'asks' if len(wishes) == 1 else 'ask'} for it"
    lines = []
    for axis, value in has.items():
        before = getattr(preferred, axis)
        if before and not getattr(asked, axis) and not (value == before or value.startswith(before + ".")):
            lines.append(f"{axis} moves from {before} to {value}: {ask}")
    return tuple(lines)


def reasons(choice: Choice, asked: Asked, preferred: Asked) -> tuple[Reason, ...]:
    """Why each axis is what it is: a wish, the preference, or another than that."""
    from imagekit.resolution import Reason  # pydantic, a third of the start-up time of what only asks

    lost = misses(choice, preferred)

    def why(axis: str) -> str:
        before = getattr(preferred, axis)
        if getattr(asked, axis):
            return "a wish"
        if axis in lost:
            return f"moved from {before}, the profile's preference"
        return "the profile's preference" if before else "the newest"

    fact = f"torch/{choice.release.version}"
    return (
        Reason(subject="torch", value=choice.release.version, because=why("torch"), fact=fact),
        Reason(subject="cuda", value=choice.variant.cuda, because=why("cuda"), fact=f"{fact}/{choice.variant.name}"),
        Reason(
            subject="python", value=choice.system.python, because="the base's own", fact=f"os/{choice.system.suite}"
        ),
    )
