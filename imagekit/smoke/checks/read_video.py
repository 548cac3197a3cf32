"""A reader that gives wrong frames, in the wrong order or with red and blue exchanged, and says nothing: the model
learns from videos that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import clips
from ..check import Check, Failure, Figures, Image

ENCODERS = clips.ENCODERS


def _by_av(clip: Path) -> list[Any]:
    import av

    with av.open(str(clip)) as container:
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]


def _by_opencv(clip: Path) -> list[Any]:
    import cv2

    cv2.setNumThreads(1)
    capture, pictures = cv2.VideoCapture(str(clip)), list[Any]()
    if not capture.isOpened():
        raise Failure(found="cv2.VideoCapture does not open the clip", expected=f"{clips.FRAMES} frames")
    while True:
        there, picture = capture.read()
        if not there:
            return pictures
        pictures.append(picture[:, :, ::-1])


def _by_decord(clip: Path) -> list[Any]:
    import decord

    reader = decord.VideoReader(str(clip), ctx=decord.cpu(0), num_threads=1)
    return list(reader.get_batch(list(range(len(reader)))).asnumpy())


def _by_torchvision(clip: Path) -> list[Any]:
    import torchvision

    return list(torchvision.io.read_video(str(clip), pts_unit="sec")[0].numpy())


def _by_torchcodec(clip: Path) -> list[Any]:
    from torchcodec.decoders import VideoDecoder

    return [picture.permute(1, 2, 0).numpy() for picture in VideoDecoder(str(clip))]


READERS: dict[str, tuple[Callable[[Path], list[Any]], tuple[str, ...]]] = {
    "av": (_by_av, ("av",)),
    "opencv": (
        _by_opencv,
        (
            "opencv-python-headless",
            "opencv-python",
            "opencv-contrib-python-headless",
            "opencv-contrib-python",
        ),
    ),
    "decord": (_by_decord, ("decord",)),
    "torchvision": (_by_torchvision, ("torchvision", "torch", "av")),
    "torchcodec": (_by_torchcodec, ("torchcodec", "torch")),
}


@dataclass(frozen=True)
class Case:
    """One codec read by one reader."""

    codec: str
    reader: str

    def applies(self, image: Image) -> bool:
        return self.reader in (image.expects.get("read") or {}).get(self.codec, ())

    def run(self, image: Image) -> Figures:
        pictures = READERS[self.reader][0](clips.make(self.codec))
        numbers = [clips.number_of(picture) for picture in pictures]
        if numbers != list(range(clips.FRAMES)):
            raise Failure(
                found=f"frames {numbers} (-1: the colour is wrong)",
                expected=f"frames 0 to {clips.FRAMES - 1} of a {self.codec} clip, in order",
                because=f"{self.reader} brings its own decoder; ffmpeg on PATH does not matter to it",
                fix=f"another {READERS[self.reader][1][0]}, or no {self.reader} in expects.read.{self.codec}",
            )
        return {"frames": len(numbers)}

    def check(self) -> Check:
        covers = (*READERS[self.reader][1], "numpy")
        return Check(f"read-{self.codec}-by-{self.reader}", "cpu", self.run, covers=covers, applies=self.applies)


CASES = tuple(Case(codec, reader) for codec in ENCODERS for reader in READERS)
CHECKS = tuple(case.check() for case in CASES)
