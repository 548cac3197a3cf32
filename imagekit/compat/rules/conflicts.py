"""Distributions that own the same files: whichever is installed last wins, and nothing says so."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .rule import Finding, Rule, Stack

NAME = "conflicts"

SAME_FILES = (
    ("pillow", "pillow-simd", "PIL", "pillow-simd stands in for pillow: `replace: {pillow: pillow-simd}` in a profile"),
)
"""Two distributions, the folder of site-packages that both write (RECORD of their wheels), and the way out. The four
OpenCV distributions are rows of constraints.yaml."""


def judge(stack: Stack) -> Iterator[Finding]:
    for one, other, folder, tip in SAME_FILES:
        if one in stack.versions and other in stack.versions:
            yield Finding(
                NAME, "no", f"{one} and {other} both install {folder}/: the last one wins", f"RECORD of {one}", tip
            )
    cuda = stack.choice.variant.cuda.partition(".")[0]
    for name in stack.versions:
        its = re.fullmatch(r"nvidia-[a-z-]+-cu(\d\d)", name)
        if its and its[1] != cuda:
            text = f"{name} is for CUDA {its[1]}, and this torch brings the libraries of CUDA {cuda}"
            yield Finding(NAME, "no", text, f"torch/{stack.choice.release.version}", f"leave out {name}")


RULE = Rule(NAME, "No two distributions install the same files, and there is one CUDA.", judge)
