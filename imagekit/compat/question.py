"""A combination of versions that somebody asks about, whole or in part: can it be had, why not, what is nearest.

Every choice of the facts is judged by the rules, so the answer to a part of a combination ("torch 2.9 on a V100") is
the best way to complete it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from imagekit.compat import nodes, rules
from imagekit.compat.choose import Asked, Choice, cost, everything, misses, nearest
from imagekit.compat.compiled import Compiled
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node
from imagekit.compat.rules import Finding, Stack

NOTHING = Asked()


@dataclass(frozen=True)
class Question:
    asked: Asked = Asked()
    versions: dict[str, str] = field(default_factory=dict)
    """Normalised name -> exact version, of packages besides torch."""
    nodes: tuple[Node, ...] = ()
    base: str = ""
    said: tuple[Finding, ...] = ()
    """What the file that asks is found to do, apart from versions."""
    today: str = ""
    """ISO date, for what is said about support."""
    compiled: Compiled | None = None
    """Of the image that is asked about, where its libraries were read."""


@dataclass(frozen=True)
class Offer:
    """A combination that can be had, by the fewest changes of what was asked."""

    choice: Choice
    changes: tuple[str, ...]
    """What is other than asked: "torch", "cuda", "python" or "suite", or in words: "without V100"."""


@dataclass(frozen=True)
class Answer:
    question: Question
    choice: Choice | None
    """The best way to complete the question; None where no build of torch meets the versions that were asked."""
    findings: tuple[Finding, ...] = ()
    offers: tuple[Offer, ...] = ()
    """Nearest first; only for what is not possible."""

    @property
    def possible(self) -> bool:
        return self.choice is not None and not _refusals(self.findings)


def answer(question: Question, facts: Facts) -> Answer:
    """The rules' judgement of the best choice that meets the versions asked, and ways out where there is none."""
    asked = question.asked
    judged = [(choice, judge(choice, question, facts)) for choice in everything(facts) if not misses(choice, asked)]
    best = min(judged, key=lambda one: (_weight(one[1]), cost(facts, one[0], asked, NOTHING)), default=(None, ()))
    result = Answer(question, *best)
    if result.possible:
        return result
    found = nearest(facts, asked, NOTHING, more=lambda choice: tuple(_broken(choice, question, facts)))
    return replace(result, offers=tuple(Offer(choice, broken) for choice, broken in found))


def judge(choice: Choice, question: Question, facts: Facts) -> tuple[Finding, ...]:
    choice = question.compiled.into(choice) if question.compiled else choice
    stack = Stack(
        choice, facts, question.versions, question.nodes, base=question.base, today=question.today,
        compiled=question.compiled,
        system_asked=bool(question.asked.python or question.asked.suite),
    )  # fmt: skip
    return (*rules.findings(stack), *question.said)


def _weight(findings: tuple[Finding, ...]) -> tuple[int, int]:
    return _refusals(findings), sum(finding.verdict == "unknown" for finding in findings)


def _refusals(findings: tuple[Finding, ...]) -> int:
    return sum(finding.verdict == "no" for finding in findings)


def _broken(choice: Choice, question: Question, facts: Facts) -> Iterator[str]:
    """What of the question besides the versions of torch, CUDA, Python and the system a choice does not meet."""
    yield from nodes.changes(question.nodes, choice.release, choice.variant, facts)
    stack = Stack(choice, facts, question.versions, base=question.base)
    for rule in rules.OF_THE_REST:
        yield from dict.fromkeys(f.tip or f.text for f in rule.judge(stack) if f.verdict == "no")
    yield from dict.fromkeys(f.tip or f.text for f in question.said if f.verdict == "no")
