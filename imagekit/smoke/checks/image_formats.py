"""A picture format that the build of PIL lacks, or reads wrongly: a training run dies on the first WebP of its data
set, or a damaged file takes the worker down with it."""

from __future__ import annotations

import io
from typing import Any

from ..check import Check, Failure, Figures, Image

SAMPLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "jpeg": ("JPEG", {"quality": 95, "subsampling": 0}, 12),
    "jpeg2000": ("JPEG2000", {}, 0),
    "png": ("PNG", {}, 0),
    "webp": ("WEBP", {"lossless": True}, 0),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}, 0),
    "gif": ("GIF", {}, 60),
    "bmp": ("BMP", {}, 0),
    "ppm": ("PPM", {}, 0),
    "avif": ("AVIF", {"quality": 95}, 16),
}
"""Format by name: what PIL calls it, how it is written, and how far a pixel may be off after reading it back."""


def sample() -> Any:
    """A small picture with smooth slopes, which no codec has a reason to change much."""
    from PIL import Image as pictures

    picture = pictures.new("RGB", (64, 48))
    picture.putdata([(4 * x, 5 * y, 2 * (x + y)) for y in range(48) for x in range(64)])
    return picture


def run(image: Image) -> Figures:
    names = list(image.expects["formats"])
    for name in names:
        _round_trip(name)
    if "jpeg" in names:
        _progressive()
        _cmyk()
        _truncated()
    if "png" in names:
        _sixteen_bit()
    return {"formats": names}


def _round_trip(name: str) -> None:
    from PIL import Image as pictures
    from PIL import ImageChops

    kind, options, tolerance = SAMPLES[name]
    meant, stream = sample(), io.BytesIO()
    try:
        meant.save(stream, kind, **options)
        read = pictures.open(io.BytesIO(stream.getvalue()))
        read.load()
    except (OSError, KeyError) as error:
        _fail(name, f"{type(error).__name__}: {error}", "it writes and reads it")
    off = max(high for _, high in ImageChops.difference(meant, read.convert("RGB")).getextrema())
    if off > tolerance:
        _fail(name, f"pixels off by {off}", f"at most {tolerance}")


def _progressive() -> None:
    """Most pictures of the web are; an old or reduced libjpeg reads only the baseline kind."""
    from PIL import Image as pictures
    from PIL import ImageChops

    stream, (_, options, tolerance) = io.BytesIO(), SAMPLES["jpeg"]
    try:
        sample().save(stream, "JPEG", progressive=True, **options)
        read = pictures.open(io.BytesIO(stream.getvalue()))
        read.load()
    except OSError as error:
        _fail("progressive jpeg", f"OSError: {error}", "it writes and reads it")
    if b"\xff\xc2" not in stream.getvalue() or not read.info.get("progressive"):
        _fail("progressive jpeg", "written as a baseline one", "a start of frame of the progressive kind (SOF2)")
    off = max(high for _, high in ImageChops.difference(sample(), read).getextrema())
    if off > tolerance:
        _fail("progressive jpeg", f"pixels off by {off}", f"at most {tolerance}")


def _cmyk() -> None:
    from PIL import Image as pictures

    stream = io.BytesIO()
    sample().convert("CMYK").save(stream, "JPEG", quality=95)
    read = pictures.open(io.BytesIO(stream.getvalue()))
    if read.mode != "CMYK" or read.convert("RGB").size != (64, 48):
        _fail("CMYK jpeg", f"mode {read.mode}", "mode CMYK")


def _sixteen_bit() -> None:
    from PIL import Image as pictures

    meant, stream = pictures.new("I;16", (4, 4), 40000), io.BytesIO()
    meant.save(stream, "PNG")
    seen = pictures.open(io.BytesIO(stream.getvalue())).getpixel((2, 2))
    if seen != 40000:
        _fail("16-bit png", f"pixel {seen}", "pixel 40000")


def _truncated() -> None:
    """A damaged file must raise: neither crash nor pass as whole."""
    from PIL import Image as pictures

    stream = io.BytesIO()
    sample().resize((640, 480)).save(stream, "JPEG")
    half = stream.getvalue()[: len(stream.getvalue()) // 2]
    try:
        pictures.open(io.BytesIO(half)).load()
    except OSError:
        _upper_half(half)
        return
    _fail("half a jpeg", "read without a word", "OSError: image file is truncated")


def _upper_half(half: bytes) -> None:
    """Whoever asks for what there is gets it, with grey for the rest."""
    from PIL import Image as pictures
    from PIL import ImageChops, ImageFile

    old, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        read = pictures.open(io.BytesIO(half))
        read.load()
    except OSError as error:
        _fail("half a jpeg with LOAD_TRUNCATED_IMAGES", f"OSError: {error}", "the half that is there")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = old
    part = (0, 0, 640, 100)
    there = ImageChops.difference(read.convert("RGB").crop(part), sample().resize((640, 480)).crop(part))
    if (worst := max(high for _, high in there.getextrema())) > 40:
        _fail("half a jpeg with LOAD_TRUNCATED_IMAGES", f"its upper rows off by {worst}", "at most 40")


def _fail(name: str, found: str, expected: str) -> None:
    raise Failure(
        found=f"{name}: {found}",
        expected=expected,
        because="PIL was built without the format's library, or that library is gone from the system",
        fix="put the library's -dev package into the recipe and its run-time package into the profile",
    )


CHECK = Check(
    "image-formats",
    "cpu",
    run,
    covers=("pillow", "pillow-simd"),
    applies=lambda image: bool(image.expects.get("formats")),
)
