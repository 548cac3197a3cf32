"""torch has code for the GPU: compiled for its architecture or an older one of the same major, or PTX."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Finding, Rule, Stack, of_nodes

NAME = "gpu"


def judge(stack: Stack) -> Iterator[Finding]:
    yield from of_nodes(stack, NAME)
    for node in stack.nodes if stack.compiled else ():
        for text in stack.compiled.lacking(stack.choice.variant, node) if stack.compiled else ():
            yield Finding(NAME, "note", text, "its libraries")


RULE = Rule(NAME, "The build of torch has code for the GPU: compiled for its architecture, or PTX.", judge)
