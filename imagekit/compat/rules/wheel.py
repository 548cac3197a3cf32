"""torch has a wheel for this CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Finding, Rule, Stack

NAME = "wheel"


def judge(stack: Stack) -> Iterator[Finding]:
    release, variant = stack.choice.release, stack.choice.variant
    where = "the one on PyPI" if variant.pypi_default else "on PyTorch's own index"
    announced = variant.official
    promise = "" if announced else ", without a promise of PyTorch's" if announced is False else ", promised or not"
    libraries = [f"{name} {version}" for name, version in (("cuDNN", variant.cudnn), ("NCCL", variant.nccl)) if version]
    brings = f"; it brings {' and '.join(libraries)}" if libraries else ""
    yield Finding(
        NAME, "yes" if variant.official else "note",
        f"torch {release.version} is built for CUDA {variant.cuda}: {variant.name}, {where}{promise}{brings}",
        f"torch/{release.version}/{variant.name}",
    )  # fmt: skip


RULE = Rule(NAME, "torch is built for this CUDA. Which builds there are differs from release to release.", judge)
