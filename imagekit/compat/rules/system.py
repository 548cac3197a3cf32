"""The distribution decides about Python and glibc, and wheels need a glibc."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import Version

from .rule import Finding, Rule, Stack

NAME = "system"


def judge(stack: Stack) -> Iterator[Finding]:
    if not stack.system_asked:
        return
    variant, system = stack.choice.variant, stack.choice.system
    name = f"{system.id.capitalize()} {system.version}"
    new_enough = Version(system.glibc) >= Version(variant.glibc)
    yield Finding(
        NAME, "yes" if new_enough else "no",
        f"{name} ({system.suite}) has Python {system.python} and glibc {system.glibc}; the wheels need glibc "
        f"{variant.glibc}",
        f"os/{system.suite}",
    )  # fmt: skip


RULE = Rule(NAME, "The distribution has the Python, and a glibc that is new enough for the wheels.", judge)
