"""pillow-simd in name only: built without AVX2 it resizes no faster than pillow, and the data loader starves the
GPU."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ..check import Check, Failure, Figures, Image

AVX2 = re.compile(
    b"\xc5[" + re.escape(bytes(range(5, 256, 8))) + b"][\x60-\x6d\x70-\x76\xd4\xd5\xd8-\xe5\xe8-\xef\xf1-\xf6\xf8-\xfe]"
)
"""Integer arithmetic on 256 bits (VEX prefix, L=1, pp=66): no older level has it, and pixel loops are full of it."""

ENOUGH = 100
"""Measured: 486 in a build with -mavx2, 10 by chance in plain pillow's 3 MB."""


def run(image: Image) -> Figures:
    import PIL
    from PIL import Image as pictures
    from PIL import _imaging

    if ".post" not in PIL.__version__:
        _fail(f"PIL {PIL.__version__} is plain pillow", "a version of pillow-simd (N.N.N.postN)")
    found = avx2_instructions(Path(_imaging.__file__))
    if image.facts.get("cpu_level", "x86-64-v3") != "x86-64-v2" and found < ENOUGH:
        _fail(f"{found} AVX2 instructions in {Path(_imaging.__file__).name}", f"at least {ENOUGH}")
    picture = pictures.effect_noise((1920, 1080), 50).convert("RGB")
    started = time.perf_counter()
    for _ in range(10):
        picture.resize((448, 448), pictures.Resampling.BILINEAR)
    return {"avx2_instructions": found, "resize_ms": round((time.perf_counter() - started) * 100, 2)}


def avx2_instructions(library: Path) -> int:
    """How many AVX2 instructions a library holds."""
    return len(AVX2.findall(library.read_bytes()))


def _fail(found: str, expected: str) -> None:
    raise Failure(
        found=found,
        expected=expected,
        because="plain pillow was installed over it, or it was compiled without -mavx2",
        fix="build the image again from its lock; require pillow-simd, not pillow",
    )


CHECK = Check(
    "pillow-simd",
    "static",
    run,
    covers=("pillow-simd", "pillow"),
    applies=lambda image: image.has("pillow-simd"),
)
