"""A reader that gives wrong frames, in the wrong order or with red and blue exchanged, and says nothing: the model
learns from videos that do not exist."""

from __future__ import annotations

from dataclasses import dataclass

from .. import clips
from ..check import Check, Failure, Figures, Image
from ..readers import READERS

ENCODERS = clips.ENCODERS


@dataclass(frozen=True)
class Case:
    """One codec read by one reader."""

    codec: str
    reader: str

    def applies(self, image: Image) -> bool:
        return self.reader in (image.expects.get("read") or {}).get(self.codec, ())

    def run(self, image: Image) -> Figures:
        pictures = READERS[self.reader].all(clips.make(self.codec))
        numbers = [clips.number_of(picture) for picture in pictures]
        if numbers != list(range(clips.FRAMES)):
            raise Failure(
                found=f"frames {numbers} (-1: the colour is wrong)",
                expected=f"frames 0 to {clips.FRAMES - 1} of a {self.codec} clip, in order",
                because=f"{self.reader} brings its own decoder; ffmpeg on PATH does not matter to it",
                fix=f"another {READERS[self.reader].covers[0]}, or no {self.reader} in expects.read.{self.codec}",
            )
        return {"frames": len(numbers)}

    def check(self) -> Check:
        covers = (*READERS[self.reader].covers, "numpy")
        return Check(f"read-{self.codec}-by-{self.reader}", "cpu", self.run, covers=covers, applies=self.applies)


CASES = tuple(Case(codec, reader) for codec in ENCODERS for reader in READERS)
CHECKS = tuple(case.check() for case in CASES)
