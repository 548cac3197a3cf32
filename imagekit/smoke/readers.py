"""The ways to read a video, each with its own API for every frame, for some frames, and for the time of each frame."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from .check import Failure


@dataclass(frozen=True)
class Reader:
    """A picture is an array of height, width, RGB."""

    name: str
    all: Callable[[Path], Iterable[Any]]
    """Every frame from first to last; one at a time where the reader can."""
    some: Callable[[Path, Sequence[int], int], list[Any]]
    """The frames of these numbers, in this order, of a clip with so many frames in a second."""
    times: Callable[[Path], list[float]]
    """When each frame is shown, in seconds."""
    covers: tuple[str, ...]
    """Distributions that it is made of."""


def _av_all(clip: Path) -> Iterator[Any]:
    import av

    with av.open(str(clip)) as container:
        for picture in container.decode(video=0):
            yield picture.to_ndarray(format="rgb24")


def _av_some(clip: Path, numbers: Sequence[int], rate: int) -> list[Any]:
    import av

    pictures = []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        for number in numbers:
            wanted = int(Fraction(number, rate) / stream.time_base) + (stream.start_time or 0)
            container.seek(wanted, stream=stream)
            # It lands on the key frame before; what follows is decoded up to the frame that is wanted.
            found = next((picture for picture in container.decode(stream) if picture.pts >= wanted), None)
            if found is None:
                raise Failure(found=f"no frame {number} after a seek", expected="the frame")
            pictures.append(found.to_ndarray(format="rgb24"))
    return pictures


def _av_times(clip: Path) -> list[float]:
    import av

    with av.open(str(clip)) as container:
        return [picture.time for picture in container.decode(video=0)]


def _opencv(clip: Path) -> Any:
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(clip))
    if not capture.isOpened():
        raise Failure(found="cv2.VideoCapture does not open the clip", expected="it does")
    return capture


def _opencv_all(clip: Path) -> Iterator[Any]:
    capture = _opencv(clip)
    while True:
        there, picture = capture.read()
        if not there:
            return
        yield picture[:, :, ::-1]


def _opencv_some(clip: Path, numbers: Sequence[int], rate: int) -> list[Any]:
    import cv2

    capture, pictures = _opencv(clip), list[Any]()
    for number in numbers:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        there, picture = capture.read()
        if not there:
            raise Failure(found=f"no frame {number} after CAP_PROP_POS_FRAMES", expected="the frame")
        pictures.append(picture[:, :, ::-1])
    return pictures


def _opencv_times(clip: Path) -> list[float]:
    import cv2

    capture, times = _opencv(clip), list[float]()
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times


def _decord(clip: Path) -> Any:
    import decord

    return decord.VideoReader(str(clip), ctx=decord.cpu(0), num_threads=1)


def _decord_all(clip: Path) -> Iterator[Any]:
    reader = _decord(clip)
    return (reader[number].asnumpy() for number in range(len(reader)))


def _decord_some(clip: Path, numbers: Sequence[int], rate: int) -> list[Any]:
    return list(_decord(clip).get_batch(list(numbers)).asnumpy())


def _decord_times(clip: Path) -> list[float]:
    reader = _decord(clip)
    return [float(shown) for shown, _ in reader.get_frame_timestamp(list(range(len(reader))))]


def _torchvision_all(clip: Path) -> list[Any]:
    import torchvision

    return list(torchvision.io.read_video(str(clip), pts_unit="sec")[0].numpy())


def _torchvision_some(clip: Path, numbers: Sequence[int], rate: int) -> list[Any]:
    import torchvision

    pictures = []
    for number in numbers:
        moment = Fraction(number, rate)
        found = torchvision.io.read_video(str(clip), start_pts=moment, end_pts=moment, pts_unit="sec")[0]
        if len(found) != 1:
            raise Failure(found=f"{len(found)} frames at {moment} s", expected=f"frame {number}")
        pictures.append(found[0].numpy())
    return pictures


def _torchvision_times(clip: Path) -> list[float]:
    import torchvision

    return [float(moment) for moment in torchvision.io.read_video_timestamps(str(clip), pts_unit="sec")[0]]


def _torchcodec(clip: Path) -> Any:
    return importlib.import_module("torchcodec.decoders").VideoDecoder(str(clip))


def _torchcodec_all(clip: Path) -> Iterator[Any]:
    return (picture.permute(1, 2, 0).numpy() for picture in _torchcodec(clip))


def _torchcodec_some(clip: Path, numbers: Sequence[int], rate: int) -> list[Any]:
    return list(_torchcodec(clip).get_frames_at(list(numbers)).data.permute(0, 2, 3, 1).numpy())


def _torchcodec_times(clip: Path) -> list[float]:
    decoder = _torchcodec(clip)
    return [float(moment) for moment in decoder.get_frames_at(list(range(len(decoder)))).pts_seconds]


OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("av", _av_all, _av_some, _av_times, ("av",)),
        Reader("opencv", _opencv_all, _opencv_some, _opencv_times, OPENCV),
        Reader("decord", _decord_all, _decord_some, _decord_times, ("decord",)),
        Reader("torchvision", _torchvision_all, _torchvision_some, _torchvision_times, ("torchvision", "torch", "av")),
        Reader("torchcodec", _torchcodec_all, _torchcodec_some, _torchcodec_times, ("torchcodec", "torch")),
    )
}
