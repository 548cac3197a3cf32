"""Frames per second of every video reader that the image holds, on one H.264 clip."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..bench import Bench, Outcome, Setting, Skip
from ..measure import Metric, rate, seconds

FRAMES, WIDTH, HEIGHT, RATE = 120, 320, 240, 30


def by_av(clip: Path) -> int:
    import av

    with av.open(str(clip)) as container:
        return sum(1 for picture in container.decode(video=0) if picture.to_ndarray(format="rgb24").any())


def by_opencv(clip: Path) -> int:
    import cv2

    capture, count = cv2.VideoCapture(str(clip)), 0
    while capture.read()[0]:
        count += 1
    return count


def by_decord(clip: Path) -> int:
    import decord

    reader = decord.VideoReader(str(clip), ctx=decord.cpu(0))
    return len(reader.get_batch(list(range(len(reader)))).asnumpy())


def by_torchcodec(clip: Path) -> int:
    from torchcodec.decoders import VideoDecoder

    return sum(1 for _ in VideoDecoder(str(clip)))


def by_torchvision(clip: Path) -> int:
    import torchvision

    return len(torchvision.io.read_video(str(clip), pts_unit="sec")[0])


READERS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "av": ("av", by_av),
    "opencv": ("cv2", by_opencv),
    "decord": ("decord", by_decord),
    "torchcodec": ("torchcodec", by_torchcodec),
    "torchvision": ("torchvision", by_torchvision),
}


def run(setting: Setting) -> Outcome:
    clip = _clip()
    metrics, notes = list[Metric](), dict[str, Any]({"codec": "h264", "size": f"{WIDTH}x{HEIGHT}", "frames": FRAMES})
    for name, (module, reader) in READERS.items():
        if find_spec(module) is None:
            notes[name] = "not in this image"
            continue
        try:
            count = reader(clip)  # warms up as well
        except Exception as error:  # torchvision without PyAV, or after it gave up videos: another reader still counts
            notes[name] = f"{type(error).__name__}: {error}"[:120]
            continue
        if count != FRAMES:
            notes[name] = f"gives {count} frames"
            continue
        taken = seconds(lambda: reader(clip), setting.repeats(10), warm_up=0)  # noqa: B023
        metrics.append(rate(name, "frames/s", FRAMES, taken))
    if not metrics:
        raise Skip("no video reader in this image")
    return Outcome(metrics, notes)


def _clip() -> Path:
    """By ffmpeg where it is and else by PyAV: a picture that moves, as still ones decode in no time."""
    clip = Path("clip.mp4").absolute()
    if shutil.which("ffmpeg"):
        source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", str(FRAMES)]
        done = subprocess.run([*command, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(clip)], capture_output=True)
        if done.returncode == 0:
            return clip
    if find_spec("av") is None or find_spec("numpy") is None:
        raise Skip("neither ffmpeg with libx264 nor PyAV to write a clip with")
    import av
    import numpy

    across = numpy.linspace(0, 255, WIDTH)[None, :, None]
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            rows = numpy.arange(HEIGHT)[:, None, None] + numpy.array([0, 80, 160]) + 5 * number
            picture = ((across + rows) % 256).astype("uint8")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return clip


BENCH = Bench("decode", run, "frames/s of each video reader on a 320 x 240 H.264 clip of 120 frames", needs=())
