"""Support that has ended, or ends soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from imagekit.compat.nodes import runs
from imagekit.compat.rows import DriverBranch

from .rule import Finding, Rule, Stack

NAME = "lifecycle"
SOON = timedelta(days=180)


def judge(stack: Stack) -> Iterator[Finding]:
    if not stack.today:
        return
    system, today = stack.choice.system, date.fromisoformat(stack.today)
    name, fact = f"{system.id.capitalize()} {system.version}", f"os/{system.suite}"
    own, paid = system.end_of_support if stack.system_asked else None, system.end_of_extended_support
    if own and date.fromisoformat(own) < today:
        longer = f"; extended support (LTS, ESM) ends on {paid}" if paid else ""
        yield Finding(NAME, "note", f"{name} has been without its own support since {own}{longer}", fact)
    elif own and date.fromisoformat(own) - SOON < today:
        yield Finding(NAME, "note", f"support of {name} ends on {own}", fact)
    for branch in dict.fromkeys(stack.facts.driver_branch(node.driver) for node in stack.nodes if node.driver):
        said = _ended(branch, today) if branch else ""
        if branch and said:
            yield Finding(NAME, "note", said, f"drivers/{branch.branch}")
    release = stack.choice.release
    for node in stack.nodes:
        if node.gpu and node.gpu.max_cuda:
            last = [r.version for r in stack.facts.releases if any(runs(v, node.sm) for v in r.variants)]
            text = f"CUDA {node.gpu.max_cuda} is the last for {node.gpu.name}"
            text += f"; torch {last[-1]} is the last with code for it" if last and last[-1] != release.version else ""
            yield Finding(NAME, "note", text, f"gpus/{node.gpu.name}")


def _ended(branch: DriverBranch, today: date) -> str:
    name = f"driver branch {branch.branch}" + (f" ({branch.kind})" if branch.kind else "")
    if branch.ends and branch.ends < f"{today:%Y-%m}":
        return f"{name} has been without support since {branch.ends}"
    if branch.ends and branch.ends < f"{today + SOON:%Y-%m}":
        return f"support of {name} ends in {branch.ends}"
    if branch.over and branch.over <= today.isoformat():
        return f"{name} is end of life, in NVIDIA's table of {branch.over}"
    return ""


RULE = Rule(
    NAME,
    "The distribution and the driver are supported, and the GPU is not one that newer CUDA toolkits have left behind.",
    judge,
)
