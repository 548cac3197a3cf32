"""pillow-simd in name only: built without AVX2 it resizes no faster than pillow, and the data loader starves the
GPU."""

from __future__ import annotations

import re
import time
from pathlib import Path

from .. import resample
from ..check import Check, Failure, Figures, Image, progress

AVX2 = re.compile(
    b"\xc5[" + re.escape(bytes(range(5, 256, 8))) + b"][\x60-\x6d\x70-\x76\xd4\xd5\xd8-\xe5\xe8-\xef\xf1-\xf6\xf8-\xfe]"
)
"""Integer arithmetic on 256 bits (VEX prefix, L=1, pp=66): no older level has it, and pixel loops are full of it."""

ENOUGH = 100
"""Measured: 486 in a build with -mavx2, 10 by chance in plain pillow's 3 MB."""

PROLOGUE = b"\x55\x48\x89\xe5"
"""push %rbp; mov %rsp,%rbp: how every function begins that is compiled without optimisation."""

TOO_MANY = 200
"""Measured: 1007 in a build with -O0, none with -O2."""


def run(image: Image) -> Figures:
    import PIL
    from PIL import Image as pictures
    from PIL import _imaging

    if ".post" not in PIL.__version__:
        _fail(f"PIL {PIL.__version__} is plain pillow", "a version of pillow-simd (N.N.N.postN)")
    found = avx2_instructions(Path(_imaging.__file__))
    if image.facts.get("cpu_level", "x86-64-v3") != "x86-64-v2" and found < ENOUGH:
        _fail(f"{found} AVX2 instructions in {Path(_imaging.__file__).name}", f"at least {ENOUGH}")
    slow = Path(_imaging.__file__).read_bytes().count(PROLOGUE)
    if slow > TOO_MANY:
        _fail(f"{slow} functions of {Path(_imaging.__file__).name} are not optimised", "a build with -O2")
    picture = pictures.effect_noise((1920, 1080), 50).convert("RGB")
    started = time.perf_counter()
    for _ in range(10):
        picture.resize((448, 448), pictures.Resampling.BILINEAR)
    return {"avx2_instructions": found, "resize_ms": round((time.perf_counter() - started) * 100, 2)}


SIZE, SIZES = (61, 43), ((23, 17), (131, 97), (200, 43), (61, 11), (8, 90))
"""From one odd size down, up, along one side and both ways at once: vector code has another path for what is left
of a line.
None shrinks the height far more than the width where both change: pillow 13 does columns first there."""

LEVELS = 1
"""pillow-simd keeps its weights in 16 bits where pillow has 32."""


def resize(image: Image) -> Figures:
    figures: Figures = {"sizes": len(SIZES)}
    for mode in ("L", "RGB"):
        channels = [resample.noise(*SIZE, seed=number + 1) for number in range(len(mode))]
        for name in resample.FILTERS:
            progress(f"{name} of {mode}")
            figures[f"{name} {mode}".lower()] = max(off(channels, mode, size, name) for size in SIZES)
    return figures


def off(channels: list[resample.Rows], mode: str, size: tuple[int, int], name: str) -> int:
    """By how much PIL's picture differs from the reference. Raises Failure when that is too much."""
    from PIL import Image as pictures

    (width, height), old = size, (len(channels[0][0]), len(channels[0]))
    picture = pictures.merge(mode, [pictures.frombytes("L", old, bytes(sum(rows, []))) for rows in channels])
    worst = 0
    resized = picture.resize(size, getattr(pictures.Resampling, name))
    for number, channel in enumerate(channels):
        data = resized.getchannel(number).tobytes()
        rows = [list(data[y * width : (y + 1) * width]) for y in range(height)]
        worst = max(worst, resample.furthest(resample.resize(channel, size, name), rows))
    if worst > LEVELS:
        raise Failure(
            found=f"{name} of {mode}, {old[0]}x{old[1]} to {width}x{height}: off by {worst} levels",
            expected=f"pillow's own result within {LEVELS}",
            because="the vector code of pillow-simd is wrong as it was compiled here",
            fix="another version of pillow-simd, or plain pillow: training sees other pictures than were measured",
        )
    return worst


def avx2_instructions(library: Path) -> int:
    """How many AVX2 instructions a library holds."""
    return len(AVX2.findall(library.read_bytes()))


def _fail(found: str, expected: str) -> None:
    raise Failure(
        found=found,
        expected=expected,
        because="plain pillow was installed over it, or it was compiled without -mavx2 or -O2",
        fix="build the image again from its lock; require pillow-simd, not pillow",
    )


CHECK = Check(
    "pillow-simd",
    "static",
    run,
    covers=("pillow-simd", "pillow"),
    applies=lambda image: image.has("pillow-simd"),
)

RESIZE = Check(
    "pillow-simd-resize",
    "cpu",
    resize,
    covers=("pillow-simd", "pillow"),
    applies=lambda image: image.has("pillow-simd"),
    about="Pictures that are resized fast and wrongly: the model trains on other pixels than it is served with.",
)
