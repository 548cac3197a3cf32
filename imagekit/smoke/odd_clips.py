"""Clips as they come from phones, screen recorders and broken downloads; every frame says which frame it is."""

from __future__ import annotations

import array
import math
from pathlib import Path
from typing import Any

from . import clips
from .check import Failure
from .clips import Recipe

ENCODER = "libx264"
FAST = ("-preset", "veryfast")

SECONDS = clips.FRAMES // clips.RATE
TONE = 440

UPRIGHT = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
CLOCKWISE = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")
"""Matrices of an MP4's track header: shown as it is stored, and turned by a quarter to the right."""

EVERY_FIFTH = (*FAST, "-g", "5", "-bf", "2", "-x264-params", "b-adapt=0:scenecut=0:keyint=5:min-keyint=5")
"""Short groups of pictures with B-frames: what is stored, shown and searched for has three orders."""

UNEVEN = Recipe("uneven", ENCODER, EVERY_FIFTH, rate=100, uneven=True)


def scrambled() -> Path:
    return clips.write(Recipe("scrambled", ENCODER, EVERY_FIFTH))


def uneven() -> Path:
    return clips.write(UNEVEN)


def uneven_times() -> list[float]:
    return [UNEVEN.tick(number) / UNEVEN.rate for number in range(clips.FRAMES)]


def turned() -> Path:
    """Stored lying, with the note that it is to be shown a quarter to the right, as a phone writes it."""
    clip = clips.write(Recipe("turned", ENCODER, FAST))
    data = clip.read_bytes()
    track = data.find(b"tkhd")
    at = data.find(UPRIGHT, track)
    if track < 0 or at < 0:
        raise Failure(found="an MP4 without a track header that can be changed", expected="the one that was written")
    clip.write_bytes(data[:at] + CLOCKWISE + data[at + len(CLOCKWISE) :])
    return clip


class Upright:
    """A picture that was turned by a quarter to the right, seen as it was before; enough of an array for clips."""

    def __init__(self, picture: Any) -> None:
        self.picture = picture
        self.shape = (picture.shape[1], picture.shape[0], *picture.shape[2:])

    def __getitem__(self, place: tuple[int, int]) -> Any:
        row, column = place
        return self.picture[column, self.shape[0] - 1 - row]


def with_sound() -> Path:
    steps = (math.sin(2 * math.pi * TONE * step / clips.SOUND_RATE) for step in range(SECONDS * clips.SOUND_RATE))
    samples = array.array("h", (int(20000 * step) for step in steps))
    return clips.write(Recipe("sound", ENCODER, FAST, sound=samples.tobytes()))


def cut_off() -> Path:
    """A download that broke off: the index is there (at the front), half of the frames are not.

    Without B-frames, so that what is there is a prefix of what is shown.
    """
    options = (*FAST, "-g", "5", "-bf", "0")
    clip = clips.write(Recipe("cut", ENCODER, options, index_first=True))
    data = clip.read_bytes()
    body = data.find(b"mdat")
    if body < data.find(b"moov"):
        raise Failure(found="an MP4 whose index is at its end", expected=f"{clips.FAST_START} puts it at the front")
    clip.write_bytes(data[: (body + len(data)) // 2])
    return clip


def without_index() -> Path:
    """A recording that was killed: the index was to be written last."""
    clip = clips.write(Recipe("unfinished", ENCODER, FAST))
    data = clip.read_bytes()
    clip.write_bytes(data[: data.find(b"moov") - 8])
    return clip
