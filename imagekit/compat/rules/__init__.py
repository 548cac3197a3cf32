"""The rules by which a combination of versions is judged: adding one is adding a file and a line here.

Their order is the order of an answer."""

from __future__ import annotations

from . import conflicts, driver, gpu, image, libraries, lifecycle, pairing, python, system, toolkit, wheel
from .rule import Finding, Rule, Stack

ALL: tuple[Rule, ...] = (
    wheel.RULE,
    pairing.RULE,
    python.RULE,
    system.RULE,
    image.RULE,
    gpu.RULE,
    driver.RULE,
    toolkit.RULE,
    libraries.RULE,
    conflicts.RULE,
    lifecycle.RULE,
)

OF_THE_REST: tuple[Rule, ...] = (pairing.RULE, image.RULE, libraries.RULE, conflicts.RULE)
"""Those that judge what was asked besides torch, CUDA, the system and the nodes."""

__all__ = ["ALL", "OF_THE_REST", "Finding", "Rule", "Stack", "findings"]


def findings(stack: Stack) -> tuple[Finding, ...]:
    """What every rule says about a combination, each under the rule's name."""
    return tuple(finding for rule in ALL for finding in rule.judge(stack))
