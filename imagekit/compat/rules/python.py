"""torch has wheels for this Python."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Finding, Rule, Stack

NAME = "python"


def judge(stack: Stack) -> Iterator[Finding]:
    release, python = stack.choice.release, stack.choice.system.python
    span = f"{release.pythons[0]} to {release.pythons[-1]}"
    used = f"; {python} is used" if stack.system_asked else ""
    yield Finding(
        NAME, "yes" if python in release.pythons else "no",
        f"torch {release.version} has wheels for Python {span}{used}", f"torch/{release.version}",
    )  # fmt: skip


RULE = Rule(NAME, "torch has wheels for a range of Pythons.", judge)
