"""Clips whose every frame says which frame it is.

The upper half of frame n is n written in black and white blocks, the lower half one colour. So a reader is proven to
give the right frames in the right order, and red as red, whatever the codec did to the pixels.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .check import Failure

FRAMES, WIDTH, HEIGHT, RATE = 20, 160, 128, 10
BITS = 5
COLOUR = (200, 60, 30)
"""Red, green, blue of the lower half: no two alike, so that a swap shows."""
TOLERANCE = 40

ENCODERS = {
    "h264": ("libx264", ("-preset", "veryfast")),
    "hevc": ("libx265", ("-preset", "ultrafast", "-x265-params", "log-level=error:pools=1", "-tag:v", "hvc1")),
    "vp9": ("libvpx-vp9", ("-deadline", "realtime", "-cpu-used", "8")),
    "av1": ("libsvtav1", ("-preset", "10")),
    "mpeg4": ("mpeg4", ("-q:v", "2")),
    "mjpeg": ("mjpeg", ("-q:v", "2")),
}


def ffmpeg(tool: str = "ffmpeg") -> str:
    path = shutil.which(tool)
    if path is None:
        raise Failure(
            found=f"{tool} is not on PATH",
            expected="the ffmpeg that the profile asks for",
            because="it was removed, or PATH was changed",
            fix="keep ffmpeg in the profile's apt list",
        )
    return path


def frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """One frame as packed RGB rows."""
    block = width // BITS
    values = [235 if number >> bit & 1 else 16 for bit in range(BITS)]
    row = b"".join(bytes([value]) * 3 * block for value in values)
    upper = (row + bytes([16]) * 3 * (width - BITS * block)) * (height // 2)
    return upper + bytes(COLOUR) * width * (height - height // 2)


def number_of(picture: Any) -> int:
    """The number that a decoded frame (an array of height, width, RGB) carries; -1 if its colour is wrong."""
    height, width = picture.shape[:2]
    lower = picture[height * 3 // 4, width // 2]
    if any(abs(int(seen) - meant) > TOLERANCE for seen, meant in zip(lower, COLOUR, strict=True)):
        return -1
    block = width // BITS
    middle = [picture[height // 4, bit * block + block // 2] for bit in range(BITS)]
    return sum(1 << bit for bit, pixel in enumerate(middle) if int(pixel[1]) > 125)


def make(codec: str, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A clip in the current folder, by ffmpeg where it is and else by PyAV, so that its reader is what is judged."""
    encoder, options = ENCODERS[codec]
    if shutil.which("ffmpeg"):
        return encode(encoder, options, width, height)
    return _encode_by_av(encoder, width, height)


def encode(encoder: str, options: Sequence[str] | None = None, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A clip written by the program ffmpeg."""
    if options is None:
        options = next((known for name, known in ENCODERS.values() if name == encoder), ())
    clip = Path(f"{encoder}.mp4").absolute()
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    target = ["-c:v", encoder, *options, "-pix_fmt", "yuv420p", "-threads", "1", str(clip)]
    pictures = b"".join(frame(number, width, height) for number in range(FRAMES))
    done = subprocess.run([ffmpeg(), "-v", "error", "-y", *source, *target], input=pictures, capture_output=True)
    if done.returncode or not clip.is_file():
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failure(
            found=f"ffmpeg -c:v {encoder}: {said[-1] if said else f'exit {done.returncode}'}",
            expected="a clip",
            because="this ffmpeg has no such encoder, or a library of it is missing",
            fix="use the distribution's ffmpeg",
        )
    return clip


def _encode_by_av(encoder: str, width: int, height: int) -> Path:
    try:
        av, numpy = importlib.import_module("av"), importlib.import_module("numpy")
    except ImportError:
        ffmpeg()  # says what is missing
        raise
    clip = Path(f"{encoder}.mp4").absolute()
    with av.open(str(clip), "w") as container:
        stream = container.add_stream(encoder, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FRAMES):
            picture = numpy.frombuffer(frame(number, width, height), dtype="uint8").reshape(height, width, 3)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return clip
