"""A CUDA toolkit is needed for compiling only: torch's wheels bring the libraries they run with."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Finding, Rule, Stack

NAME = "toolkit"
COMPILED = ("deepspeed", "flash-attn")
"""Packages that compile code in CUDA, when they are installed or when they run (constraints.yaml, recipes.yaml)."""


def judge(stack: Stack) -> Iterator[Finding]:
    cuda, fact = stack.choice.variant.cuda, "cuda-twice"
    if stack.base.startswith(("nvidia/cuda", "docker.io/nvidia/cuda")):
        yield Finding(NAME, "note", f"CUDA is there twice: torch brings its own libraries for {cuda}", fact)
    compiling = [name for name in COMPILED if name in stack.versions]
    if compiling:
        text = f"{', '.join(compiling)}: what it compiles in CUDA needs nvcc {cuda}, as in --base cuda:devel"
        yield Finding(NAME, "note", text, fact)


RULE = Rule(NAME, "torch brings its CUDA libraries; a toolkit is needed only for what compiles.", judge)
