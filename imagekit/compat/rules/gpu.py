"""torch has code for the GPU: compiled for its architecture or an older one of the same major, or PTX."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit.compat import nodes

from .rule import Finding, Rule, Stack

NAME = "gpu"


def judge(stack: Stack) -> Iterator[Finding]:
    choice = stack.choice
    for node in stack.nodes:
        for fit in nodes.fits(node, choice.release, choice.variant, stack.facts):
            if fit.axis == NAME:
                yield Finding(NAME, fit.verdict, fit.text, fit.fact, fit.tip)


RULE = Rule(NAME, "The build of torch has code for the GPU: compiled for its architecture, or PTX.", judge)
