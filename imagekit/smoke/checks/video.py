"""A reader that is right on a plain clip and wrong on real ones: after a seek, with uneven times, with a phone's
rotation, beside a sound track, or at the end of a broken download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import clips, odd_clips
from ..check import Check, Failure, Figures, Image, progress, shorten
from ..readers import READERS, Reader

EVERY = list(range(clips.FRAMES))
SCRAMBLED = [13, 2, 19, 0, 7, 6, 5, 18, 1, 12, 11, 14, 3, 10, 17, 4, 16, 9, 15, 8]
"""Back and forth, across and within the groups of five, with the last and the first."""

CLOCK = 0.002
"""Seconds by which a reader's time may differ: the coarsest clock of the containers counts milliseconds."""


def seek(reader: Reader) -> str:
    numbers = numbers_of(reader.some(odd_clips.scrambled(), SCRAMBLED, clips.RATE))
    if numbers != SCRAMBLED:
        raise Failure(found=f"frames {numbers}", expected=f"{SCRAMBLED}, as asked")
    return f"{len(numbers)} frames"


def uneven(reader: Reader) -> str:
    clip = odd_clips.uneven()
    in_order(list(reader.all(clip)))
    same_times(reader.times(clip), odd_clips.uneven_times())
    return f"{clips.FRAMES} frames and times"


def turned(reader: Reader) -> str:
    """Readers differ, and some changed their mind; both are fine, as long as a frame is whole."""
    return orientation(list(reader.all(odd_clips.turned())))


def sound(reader: Reader) -> str:
    clip = odd_clips.with_sound()
    in_order(list(reader.all(clip)))
    return f"{clips.FRAMES} frames" + (f", {_samples(clip)} samples" if reader.name == "av" else "")


def cut(reader: Reader) -> str:
    return prefix(reader, odd_clips.cut_off())


def unfinished(reader: Reader) -> str:
    return prefix(reader, odd_clips.without_index())


KINDS: dict[str, Callable[[Reader], str]] = {
    kind.__name__: kind for kind in (seek, uneven, turned, sound, cut, unfinished)
}


def numbers_of(pictures: list[Any]) -> list[int]:
    return [clips.number_of(picture) for picture in pictures]


def in_order(pictures: list[Any]) -> None:
    numbers = numbers_of(pictures)
    if numbers != EVERY:
        raise Failure(
            found=f"frames {numbers} (-1: the colour is wrong)", expected=f"0 to {clips.FRAMES - 1}, in order"
        )


def same_times(told: list[float], meant: list[float]) -> None:
    if len(told) != len(meant) or any(abs(a - b) > CLOCK for a, b in zip(told, meant)):
        shown = ", ".join(f"{moment:.3f}" for moment in told)
        raise Failure(found=f"times {shown}", expected=", ".join(f"{moment:.3f}" for moment in meant))


def orientation(pictures: list[Any]) -> str:
    if not pictures:
        raise Failure(found="no frames", expected=f"{clips.FRAMES}")
    shapes = {tuple(picture.shape[:2]) for picture in pictures}
    if shapes == {(clips.HEIGHT, clips.WIDTH)}:
        in_order(pictures)
        return "ignored"
    if shapes == {(clips.WIDTH, clips.HEIGHT)}:
        in_order([odd_clips.Upright(picture) for picture in pictures])
        return "applied"
    raise Failure(found=f"frames of {sorted(shapes)}", expected=f"{clips.HEIGHT} x {clips.WIDTH}, or turned")


def prefix(reader: Reader, broken: Path) -> str:
    """What a reader makes of a broken file: it may give what is there, and it may refuse; never something else."""
    numbers, ending = list[int](), ""
    try:
        for picture in reader.all(broken):
            numbers.append(clips.number_of(picture))
    except Failure:
        ending = ", refused"
    except Exception as error:  # each reader has errors of its own
        ending = f", then {type(error).__name__}"
    if numbers != EVERY[: len(numbers)]:
        raise Failure(found=f"frames {numbers}{ending}", expected="the first ones as they are, or an error")
    return f"{len(numbers)} frames{ending}"


def _samples(clip: Path) -> int:
    import av

    with av.open(str(clip)) as container:
        count = sum(piece.samples for piece in container.decode(audio=0))
    written = odd_clips.SECONDS * clips.SOUND_RATE
    # AAC has 1024 samples to a packet: one of silence may come before and the last one is filled up.
    if not written <= count <= written + 3 * 1024:
        raise Failure(found=f"{count} samples of sound", expected=f"{written}, and at most three packets more")
    return int(count)


@dataclass(frozen=True)
class Case:
    """One reader and all the odd clips."""

    reader: Reader

    def applies(self, image: Image) -> bool:
        return self.reader.name in (image.expects.get("read") or {}).get("h264", ())

    def run(self, image: Image) -> Figures:
        figures, wrong = Figures(), list[str]()
        for name, kind in KINDS.items():
            progress(f"{self.reader.name}: {name}")
            try:
                figures[name] = kind(self.reader)
            except Failure as no:
                wrong.append(f"{name}: {no.found}; expected {no.expected}")
            except Exception as error:  # a good clip that a reader refuses
                wrong.append(f"{name}: {shorten(f'{type(error).__name__}: {error}')}")
        if wrong:
            raise Failure(
                found=" | ".join(wrong),
                expected="the frames that were written, each at its time",
                because=f"{self.reader.name} brings its own decoder, or seeks by guessing",
                fix=f"another {self.reader.covers[0]}, or no {self.reader.name} in expects.read.h264",
            )
        return figures

    def check(self) -> Check:
        return Check(
            f"video-{self.reader.name}", "cpu", self.run, covers=(*self.reader.covers, "numpy"), applies=self.applies
        )


CHECKS = tuple(Case(reader).check() for reader in READERS.values())
