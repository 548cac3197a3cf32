"""What a rule is, what it is told, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from imagekit.compat.choose import Choice
from imagekit.compat.compiled import Compiled
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, fits


@dataclass(frozen=True)
class Stack:
    """One combination: a build of torch on a distribution, and what was said about the rest."""

    choice: Choice
    facts: Facts
    versions: Mapping[str, str] = field(default_factory=dict)
    """Normalised name of a package -> its exact version, as far as it was said; without torch."""
    nodes: tuple[Node, ...] = ()
    system_asked: bool = True
    """Whether Python or the distribution was said; otherwise those of the choice are one of several that would do."""
    base: str = ""
    """The image that it stands on, such as nvidia/cuda:12.1.1-runtime-ubuntu22.04; empty for a plain distribution."""
    today: str = ""
    """ISO date; empty where nothing is said about support."""
    compiled: Compiled | None = None
    """What is in the libraries of the image that is asked about."""


@dataclass(frozen=True)
class Finding:
    rule: str
    verdict: str
    """yes | no | note | unknown"""
    text: str
    fact: str = ""
    """The row that says so: torch/2.4.1/cu121."""
    tip: str = ""
    """For a no: what would make it possible, in a few words."""


def of_nodes(stack: Stack, axis: str) -> Iterator[Finding]:
    """What the nodes come to on one axis, gpu or driver, which is also the name of its rule."""
    for node in stack.nodes:
        for fit in fits(node, stack.choice.release, stack.choice.variant, stack.facts):
            if fit.axis == axis:
                yield Finding(axis, fit.verdict, fit.text, fit.fact, fit.tip)


@dataclass(frozen=True)
class Rule:
    name: str
    about: str
    """One sentence for docs/compat.md."""
    judge: Callable[[Stack], Iterable[Finding]]
