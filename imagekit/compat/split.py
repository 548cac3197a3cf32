"""Targets that no one build runs on: the fewest builds which together do, as variants of one image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from imagekit.compat.choose import Asked, Choice, cost, everything, misses
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, changes

MOST = 3
"""Images that are offered for one wish at most: more is another plan, not a way out."""


@dataclass(frozen=True)
class Part:
    """One of the images, and the targets that it is for."""

    choice: Choice
    targets: tuple[Node, ...]


def split(facts: Facts, wishes: Asked, preferences: Asked, targets: tuple[Node, ...]) -> tuple[Part, ...]:
    """Two or more images for all targets together, the fewest that do; () where there are none, or where one is enough.

    All are of one torch where that can be, because people who share code share its version. What was wished holds but
    for CUDA, in which they differ. Each target goes to the image that gives up the least among those that run on it.
    """
    free = replace(wishes, cuda="")
    every = [choice for choice in everything(facts) if not misses(choice, free)]
    ranked = sorted(every, key=lambda choice: cost(facts, choice, free, preferences))
    able: dict[str, dict[frozenset[int], Choice]] = {}
    for choice in ranked:
        runs = frozenset(number for number, node in enumerate(targets) if _runs(choice, node, facts))
        if runs:
            # ranked: the first of those that run on the same targets gives up the least
            able.setdefault(choice.release.version, {}).setdefault(runs, choice)
    of_one_torch = (sets for sets in able.values())
    found = _fewest(of_one_torch, len(targets)) or _fewest([_merged(able.values())], len(targets))
    return tuple(_parts(found, targets)) if len(found) > 1 else ()


Sets = dict[frozenset[int], Choice]
"""Numbers of targets -> the best choice that runs on exactly those."""


def _runs(choice: Choice, node: Node, facts: Facts) -> bool:
    return not list(changes([node], choice.release, choice.variant, facts))


def _merged(all_sets: Iterable[Sets]) -> Sets:
    merged: Sets = {}
    for sets in all_sets:
        for runs, choice in sets.items():
            merged.setdefault(runs, choice)
    return merged


def _fewest(groups: Iterable[Sets], count: int) -> Sets:
    """The smallest cover of all targets that one of the groups has; the first of the smallest."""
    kept = [_largest(sets) for sets in groups]
    for size in range(1, MOST + 1):
        for sets in kept:
            for chosen in combinations(sets, size):
                if len(frozenset().union(*chosen)) == count:
                    return {runs: sets[runs] for runs in chosen}
    return {}


def _largest(sets: Sets) -> Sets:
    """Without those that run on less than another does."""
    return {runs: choice for runs, choice in sets.items() if not any(runs < other for other in sets)}


def _parts(found: Sets, targets: tuple[Node, ...]) -> Iterator[Part]:
    left = set(range(len(targets)))
    for runs, choice in found.items():
        mine = sorted(left & runs)
        left -= runs
        yield Part(choice, tuple(targets[number] for number in mine))
