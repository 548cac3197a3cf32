"""How pillow resizes, without pillow: what a check compares the compiled code with.

After src/libImaging/Resample.c: the filter is as wide as the factor by which the picture shrinks, rows are done before
columns (not by pillow 13 where the height shrinks far more than the width), and the result is rounded to eight bits
after each of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import mul

Rows = list[list[int]]


def bilinear(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def bicubic(x: float) -> float:
    """Keys' cubic with a = -0.5."""
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0


def lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "BILINEAR": (bilinear, 1.0),
    "BICUBIC": (bicubic, 2.0),
    "LANCZOS": (lanczos, 3.0),
}
"""By the name in PIL.Image.Resampling: the function, and how far it reaches."""


def weights(size: int, wanted: int, name: str) -> list[tuple[int, list[float]]]:
    """For each new pixel of a line: the first old pixel that counts, and the weights from there on; their sum is 1."""
    function, reach = FILTERS[name]
    scale = size / wanted
    wide = max(scale, 1.0)
    lines = []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - reach * wide + 0.5))
        last = min(size, int(centre + reach * wide + 0.5))
        row = [function((x - centre + 0.5) / wide) for x in range(first, last)]
        lines.append((first, [weight / sum(row) for weight in row]))
    return lines


def resize(channel: Sequence[Sequence[int]], size: tuple[int, int], name: str) -> Rows:
    """One channel, rows of values 0-255, in another size (width, height)."""
    width, height = size
    narrow = _rows(channel, weights(len(channel[0]), width, name))
    return _turned(_rows(_turned(narrow), weights(len(channel), height, name)))


def _rows(channel: Sequence[Sequence[int]], table: list[tuple[int, list[float]]]) -> Rows:
    return [
        [_eight_bits(sum(map(mul, line, row[first : first + len(line)]))) for first, line in table] for row in channel
    ]


def _eight_bits(value: float) -> int:
    return min(255, max(0, math.floor(value + 0.5)))


def _turned(channel: Sequence[Sequence[int]]) -> Rows:
    return [[row[x] for row in channel] for x in range(len(channel[0]))]


def noise(width: int, height: int, seed: int) -> Rows:
    """A picture that hides nothing: every pixel differs from its neighbours. The same on every machine."""
    values, state = [], seed * 2654435761 % 2**32 or 1
    for _ in range(width * height):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(state >> 24)
    return [values[row * width : (row + 1) * width] for row in range(height)]


def furthest(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> int:
    """The largest difference of two channels of one size; 256 when the sizes differ."""
    if [len(row) for row in one] != [len(row) for row in other]:
        return 256
    return max(abs(value - other[y][x]) for y, row in enumerate(one) for x, value in enumerate(row))
