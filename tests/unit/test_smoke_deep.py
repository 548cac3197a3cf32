"""What the deep checks judge by, without torch and without PIL."""

from __future__ import annotations

import io
import os
import struct
import zlib

import pytest

from imagekit.smoke.checks import deep_loader, deep_operators, deep_pictures

BEFORE = deep_loader.Use({1: 50.0, 7: 100.0}, {1: 20, 7: 17}, shm=4.0)


@pytest.mark.parametrize(
    ("after", "grown"),
    [
        (deep_loader.Use({1: 51.0, 7: 110.0}, {1: 22, 7: 17}, shm=8.0), []),
        (deep_loader.Use({1: 50.0, 7: 130.0}, {1: 20, 7: 17}, shm=4.0), ["process 7 has 130 MB, had 100"]),
        (deep_loader.Use({1: 50.0, 7: 100.0}, {1: 90, 7: 17}, shm=4.0), ["process 1 has 90 open files, had 20"]),
        (deep_loader.Use({1: 50.0, 7: 100.0}, {1: 20, 7: 17}, shm=99.0), ["99 MB of /dev/shm in use, were 4"]),
        (deep_loader.Use({1: 50.0, 9: 100.0}, {1: 20, 9: 17}, shm=4.0), ["processes [1, 7] became [1, 9]"]),
    ],
)
def test_growth(after: deep_loader.Use, grown: list[str]) -> None:
    assert deep_loader.growth(BEFORE, after) == grown


def test_a_process_is_measured() -> None:
    use = deep_loader.measure([os.getpid()])
    assert use.memory[os.getpid()] > 1
    assert use.files[os.getpid()] >= 3


def test_no_number_is_the_largest_error() -> None:
    nan = float("nan")
    assert deep_operators.larger(1e-7, 1e-6) == 1e-6
    for one, other in ((nan, 1.0), (1.0, nan)):
        assert deep_operators.larger(one, other) != deep_operators.larger(one, other)


def test_operators_have_names_of_their_own() -> None:
    names = [operator.name for operator in deep_operators.OPERATORS]
    assert len(names) == len(set(names)) >= 25
    assert deep_operators.tolerance("sort") == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_moves_every_pixel_to_a_place_of_its_own(orientation: int) -> None:
    wide, high = deep_pictures.WIDTH, deep_pictures.HEIGHT
    places = {deep_pictures.stored(orientation, x, y) for x in range(wide) for y in range(high)}
    size = (wide, high) if orientation < 5 else (high, wide)
    assert places == {(x, y) for x in range(size[0]) for y in range(size[1])}


def test_orientation_6_is_a_camera_held_upright() -> None:
    """Row 0 of the file is the right side of the picture, column 0 its top."""
    assert deep_pictures.stored(6, deep_pictures.WIDTH - 1, 0) == (0, 0)


def test_the_values_fit_in_a_byte() -> None:
    corners = [(x, y) for x in (0, deep_pictures.WIDTH - 1) for y in (0, deep_pictures.HEIGHT - 1)]
    assert all(0 <= part <= 255 for x, y in corners for part in deep_pictures.value(x, y, 4))


def test_seven_passes_hold_every_pixel_once() -> None:
    pixels = [[(16 * y + x,) for x in range(11)] for y in range(9)]
    stream = io.BytesIO(deep_pictures.interlaced(pixels)[8:])
    data = b""
    while head := stream.read(8):
        size, name = struct.unpack(">I4s", head)
        data += stream.read(size) if name == b"IDAT" else b"\0" * (stream.read(size) == b"never")
        stream.read(4)
    lines = zlib.decompress(data)
    held = sorted(part for (part,) in sum(pixels, []))
    rows = sum(len(range(top, 9, down)) for left, top, right, down in deep_pictures.ADAM7 if range(left, 11, right))
    assert sorted(lines) == sorted([0] * rows + held)
