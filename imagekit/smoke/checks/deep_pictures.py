"""A kind of picture that is read as another picture: turned, inverted, without its alpha or with half of its depth.
Data sets hold all of these, and nothing raises."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..check import Check, Failure, Figures, Image, progress, shorten

WIDTH, HEIGHT = 40, 24
ORIENTATION = 0x0112
LOSSY, LOSSLESS, FEW_COLOURS = 14, 0, 4
"""How far a value may be off."""

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The seven passes of an interlaced PNG: first column and row, steps."""

Pixel = tuple[int, ...]


def value(x: int, y: int, bands: int) -> Pixel:
    """A smooth slope in every band, each its own: a turned picture and exchanged bands show."""
    return (6 * x, 10 * y, 3 * x + 4 * y, 255 - 4 * x - 2 * y)[:bands]


def make(mode: str) -> Any:
    from PIL import Image as pictures

    bands = len(mode)
    pixels = [value(x, y, bands) for y in range(HEIGHT) for x in range(WIDTH)]
    return pictures.frombytes(mode, (WIDTH, HEIGHT), bytes(part for pixel in pixels for part in pixel))


def stored(orientation: int, x: int, y: int) -> tuple[int, int]:
    """Where the pixel (x, y) of the upright picture is in a file with this EXIF orientation.

    The number says which side of the picture the file's first row and first column are (EXIF 2.32, 4.6.4)."""
    right, down = WIDTH - 1 - x, HEIGHT - 1 - y
    return ((x, y), (right, y), (right, down), (x, down), (y, x), (y, right), (down, right), (down, x))[orientation - 1]


def interlaced(pixels: list[list[Pixel]]) -> bytes:
    """A PNG in seven passes, which PIL reads and does not write."""
    height, width, bands = len(pixels), len(pixels[0]), len(pixels[0][0])
    lines = b""
    for left, top, right, down in ADAM7:
        for y in range(top, height, down):
            row = b"".join(bytes(pixels[y][x]) for x in range(left, width, right))
            lines += b"\0" + row if row else b""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _written(picture: Any, kind: str, **options: Any) -> Any:
    from PIL import Image as pictures

    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    read = pictures.open(io.BytesIO(stream.getvalue()))
    read.load()
    return read


def _plain(kind: str, mode: str, tolerance: int, **options: Any) -> str:
    read = _written(make(mode), kind, **options)
    return f"mode {read.mode}" if read.mode != mode else _far(make(mode), read, tolerance)


def _far(meant: Any, read: Any, tolerance: int) -> str:
    from PIL import ImageChops

    if meant.size != read.size:
        return f"size {read.size}, not {meant.size}"
    offs = [ImageChops.difference(a, b).getextrema()[1] for a, b in zip(meant.split(), read.split())]
    return f"bands off by {offs}" if max(offs) > tolerance else ""


def _oriented(kind: str, orientation: int, tolerance: int, **options: Any) -> str:
    from PIL import Image as pictures
    from PIL import ImageOps

    upright = make("RGB")
    turned = pictures.new("RGB", (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            turned.putpixel(stored(orientation, x, y), value(x, y, 3))
    exif = pictures.Exif()
    exif[ORIENTATION] = orientation
    read = _written(turned, kind, exif=exif.tobytes(), **options)
    if read.getexif().get(ORIENTATION) != orientation:
        return f"orientation {read.getexif().get(ORIENTATION)}"
    return _far(upright, ImageOps.exif_transpose(read), tolerance)


def _deep_grey(kind: str, **options: Any) -> str:
    from PIL import Image as pictures

    meant = [(1000 * x + 37 * y) % 65536 for y in range(HEIGHT) for x in range(WIDTH)]
    data = struct.pack(f"<{len(meant)}H", *meant)
    read = _written(pictures.frombytes("I;16", (WIDTH, HEIGHT), data), kind, **options)
    got = [read.getpixel((x, y)) for y in range(HEIGHT) for x in range(WIDTH)]
    wrong = sum(a != b for a, b in zip(meant, got))
    return f"{wrong} of {len(meant)} pixels wrong, mode {read.mode}" if wrong else ""


def _palette(kind: str, *, clear: bool) -> str:
    """With `clear` colour 3 is transparent."""
    from PIL import Image as pictures

    picture = pictures.frombytes("P", (WIDTH, HEIGHT), bytes((x + y) % 8 for y in range(HEIGHT) for x in range(WIDTH)))
    colours = [part for n in range(256) for part in (n * 30 % 256, 255 - n * 20 % 256, n * 7 % 256)]
    picture.putpalette(colours)
    meant = picture.convert("RGBA")
    if clear:
        meant.putalpha(pictures.frombytes("L", picture.size, bytes(255 * (n != 3) for n in picture.tobytes())))
    read = _written(picture, kind, **({"transparency": 3} if clear else {})).convert("RGBA")
    return _far(meant, read, LOSSLESS)


def _interlaced(mode: str) -> str:
    from PIL import Image as pictures

    pixels = [[value(x, y, len(mode)) for x in range(WIDTH)] for y in range(HEIGHT)]
    read = pictures.open(io.BytesIO(interlaced(pixels)))
    return f"mode {read.mode}" if read.mode != mode else _far(make(mode), read, LOSSLESS)


def _animated(kind: str, tolerance: int, **options: Any) -> str:
    from PIL import Image as pictures

    colours = [(50 * n, 255 - 50 * n, 20 * n) for n in range(5)]
    frames = [pictures.new("RGB", (WIDTH, HEIGHT), colour) for colour in colours]
    read = _written(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, loop=0, **options)
    if getattr(read, "n_frames", 1) != len(frames):
        return f"{getattr(read, 'n_frames', 1)} frames"
    for number in (*range(len(frames)), 1):  # and back again
        read.seek(number)
        if far := _far(frames[number], read.convert("RGB"), tolerance):
            return f"frame {number}: {far}"
    return ""


def cases() -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Format as profiles call it, name, and what says how the picture that was read is wrong."""
    for mode in ("L", "RGB", "CMYK"):
        yield "jpeg", f"{mode} jpeg", partial(_plain, "JPEG", mode, LOSSY, quality=95)
    for number in range(1, 9):
        yield "jpeg", f"jpeg of orientation {number}", partial(_oriented, "JPEG", number, LOSSY, quality=95)
        yield "png", f"png of orientation {number}", partial(_oriented, "PNG", number, LOSSLESS)
    for mode in ("L", "LA", "RGB", "RGBA"):
        yield "png", f"{mode} png", partial(_plain, "PNG", mode, LOSSLESS)
        yield "png", f"interlaced {mode} png", partial(_interlaced, mode)
    yield "png", "16-bit png", partial(_deep_grey, "PNG")
    yield "png", "animated png", partial(_animated, "PNG", LOSSLESS)
    yield "tiff", "16-bit tiff", partial(_deep_grey, "TIFF")
    for mode in ("L", "RGB", "RGBA", "CMYK"):
        yield "tiff", f"{mode} tiff", partial(_plain, "TIFF", mode, LOSSLESS, compression="tiff_lzw")
    for kind in ("png", "gif"):
        yield kind, f"palette {kind}", partial(_palette, kind.upper(), clear=False)
        yield kind, f"palette {kind} with a transparent colour", partial(_palette, kind.upper(), clear=True)
    yield "gif", "animated gif", partial(_animated, "GIF", FEW_COLOURS)
    for mode in ("RGB", "RGBA"):
        yield "webp", f"{mode} webp", partial(_plain, "WEBP", mode, LOSSLESS, lossless=True, exact=True)
    yield "webp", "animated webp", partial(_animated, "WEBP", LOSSLESS, lossless=True)
    yield "jpeg2000", "RGBA jpeg2000", partial(_plain, "JPEG2000", "RGBA", LOSSLESS)


def run(image: Image) -> Figures:
    promised, wrong, counts = set(image.expects["formats"]), list[str](), dict[str, int]()
    for kind, name, judge in cases():
        if kind not in promised:
            continue
        progress(name)
        try:
            problem = judge()
        except (OSError, KeyError, ValueError, SyntaxError) as error:  # what PIL's readers and writers raise
            problem = f"{type(error).__name__}: {error}"
        counts[kind] = counts.get(kind, 0) + 1
        wrong += [f"{name}: {problem}"] if problem else []
    if wrong:
        raise Failure(
            found=shorten("; ".join(wrong), 600),
            expected=f"all {sum(counts.values())} kinds of picture come back as they were written",
            because="the version of PIL, or of a format's library that it was built with",
            fix="another version of pillow or pillow-simd; tests of the data set on the kinds that it holds",
        )
    return {"pictures": sum(counts.values()), **counts}


CHECK = Check(
    "deep-pictures",
    "deep",
    run,
    covers=("pillow", "pillow-simd"),
    applies=lambda image: bool(image.expects.get("formats")),
    limit=120,
)
