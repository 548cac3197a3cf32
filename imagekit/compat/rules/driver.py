"""The driver runs programs of this CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Finding, Rule, Stack, of_nodes

NAME = "driver"


def judge(stack: Stack) -> Iterator[Finding]:
    yield from of_nodes(stack, NAME)
    toolkit = stack.facts.toolkit(stack.choice.variant.cuda)
    if toolkit and not any(node.driver for node in stack.nodes):
        text = f"CUDA {toolkit.version} needs driver {toolkit.compat_driver} or newer on the node"
        yield Finding(NAME, "note", text, f"cuda/{toolkit.version}")


RULE = Rule(
    NAME,
    "The driver is new enough for the major version of CUDA, and still knows the GPU. It runs every older CUDA.",
    judge,
)
