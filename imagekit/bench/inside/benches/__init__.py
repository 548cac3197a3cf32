"""All benchmarks, in the order in which they run. One file each; adding one is adding a file and a line here."""

from __future__ import annotations

from ..bench import Bench
from . import all_reduce, batch, copies, decode, loader, pictures, resnet18, start, video_llm

ALL: tuple[Bench, ...] = (
    start.BENCH,
    resnet18.BENCH,
    video_llm.BENCH,
    decode.BENCH,
    pictures.BENCH,
    loader.BENCH,
    copies.BENCH,
    batch.BENCH,
    all_reduce.BENCH,
)
