"""The facts as a table: one row for each torch, one column for each CUDA that is left by what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagekit.compat.choose import everything, misses
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import fits
from imagekit.compat.question import Question
from imagekit.compat.rows import Release, Variant


@dataclass(frozen=True)
class Row:
    release: Release
    variants: tuple[Variant, ...]
    """Those that meet the question, ascending by CUDA."""


def rows(question: Question, facts: Facts) -> list[Row]:
    """Newest torch first."""
    left: dict[str, dict[str, Variant]] = {}
    for choice in everything(facts):
        release, variant = choice.release, choice.variant
        refused = (fit.verdict == "no" for node in question.nodes for fit in fits(node, release, variant, facts))
        if not misses(choice, question.asked) and not any(refused):
            left.setdefault(release.version, {})[variant.name] = variant
    return [
        Row(release, tuple(v for v in release.variants if v.name in left[release.version]))
        for release in reversed(facts.releases) if release.version in left
    ]  # fmt: skip


def lines(found: list[Row], facts: Facts) -> Iterator[str]:
    if not found:
        yield "no torch of the facts meets this; imagekit compat check with the same options says why"
        return
    cudas = sorted({variant.cuda for row in found for variant in row.variants}, key=lambda cuda: float(cuda))
    yield f"{'torch':<8}{'vision':<8}{'audio':<8}{'Python':<14}" + "".join(f"{cuda:<6}" for cuda in cudas).rstrip()
    for row in found:
        release = row.release
        marks = {variant.cuda: _mark(variant) for variant in row.variants}
        pythons = f"{release.pythons[0]} - {release.pythons[-1]}"
        cells = "".join(f"{marks.get(cuda, ''):<6}" for cuda in cudas)
        yield f"{release.version:<8}{release.torchvision:<8}{release.torchaudio:<8}{pythons:<14}{cells}".rstrip()
    yield ""
    yield "P on PyPI   x on PyTorch's index   (x) there, without a promise"
    yield f"facts of {facts.collected['torch']}"


def _mark(variant: Variant) -> str:
    return "P" if variant.pypi_default else "x" if variant.official else "(x)"


def as_json(found: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "torch": row.release.version, "torchvision": row.release.torchvision,
            "torchaudio": row.release.torchaudio, "pythons": list(row.release.pythons),
            "builds": [
                {
                    "variant": v.name, "cuda": v.cuda, "pypi": v.pypi_default, "official": v.official,
                    "gpu_architectures": None if v.gpu_architectures is None else list(v.gpu_architectures),
                    "cudnn": v.cudnn, "nccl": v.nccl,
                }
                for v in row.variants
            ],
        }
        for row in found
    ]  # fmt: skip
