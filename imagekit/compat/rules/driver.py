"""The driver runs programs of this CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit.compat import nodes

from .rule import Finding, Rule, Stack

NAME = "driver"


def judge(stack: Stack) -> Iterator[Finding]:
    choice = stack.choice
    for node in stack.nodes:
        for fit in nodes.fits(node, choice.release, choice.variant, stack.facts):
            if fit.axis == NAME:
                yield Finding(NAME, fit.verdict, fit.text, fit.fact, fit.tip)
    toolkit = stack.facts.toolkit(choice.variant.cuda)
    if toolkit and not any(node.driver for node in stack.nodes):
        text = f"CUDA {toolkit.version} needs driver {toolkit.compat_driver} or newer on the node"
        yield Finding(NAME, "note", text, f"cuda/{toolkit.version}")


RULE = Rule(
    NAME,
    "The driver is new enough for the major version of CUDA, and still knows the GPU. It runs every older CUDA.",
    judge,
)
