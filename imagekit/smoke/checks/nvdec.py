"""Video decoded on the CPU although the node has decoders for it: an ffmpeg without nvcuvid falls back in silence."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .. import clips
from ..check import Check, Failure, Figures, Image, Skip

WANTED = (("-decoders", "h264_cuvid"), ("-decoders", "hevc_cuvid"), ("-encoders", "h264_nvenc"))

WIDTH, HEIGHT = 320, 240
"""Encoders of GPUs refuse what is smaller than 145 x 49."""

RAW = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-")

ABSENT = (
    "No capable devices found",
    "OpenEncodeSessionEx failed: unsupported device",
    "Driver does not support the required nvenc API version",
)
"""What ffmpeg says on A100, H100 and H200, which decode and have no encoder, and on a driver older than it knows."""


def run(image: Image) -> Figures:
    for option, codec in WANTED:
        listed = subprocess.run([clips.ffmpeg(), "-hide_banner", option], capture_output=True, text=True).stdout
        if f" {codec} " not in listed:
            raise Failure(
                found=f"ffmpeg {option} has no {codec}",
                expected="ffmpeg with nvenc and cuvid",
                because="another ffmpeg than the distribution's is first on PATH, or this base builds it without",
                fix="use the distribution's ffmpeg, or drop the feature nvdec",
            )
    return {"codecs": [codec for _, codec in WANTED]}


def on_gpu(image: Image) -> Figures:
    clip = clips.make("h264", WIDTH, HEIGHT)
    # The named decoder fails where -hwaccel would quietly decode on the CPU.
    done = _ffmpeg("-c:v", "h264_cuvid", "-i", str(clip), *RAW)
    if done.returncode or done.stderr.strip():
        raise Failure(
            found=_first_line(done),
            expected="h264_cuvid decodes the clip",
            because="NVIDIA_DRIVER_CAPABILITIES without video at start, or a GPU without a decoder",
            fix="keep NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
        )
    return {"frames": read(done.stdout, "h264_cuvid")}


def encoded(image: Image) -> Figures:
    """What the GPU wrote is read on the CPU, so that the two cannot agree on something wrong."""
    clip = Path("nvenc.mp4").absolute()
    pictures = b"".join(clips.frame(number, WIDTH, HEIGHT) for number in range(clips.FRAMES))
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(clips.RATE), "-i", "-")
    done = _ffmpeg("-y", *source, "-c:v", "h264_nvenc", "-b:v", "4M", "-pix_fmt", "yuv420p", str(clip), given=pictures)
    said = done.stderr.decode(errors="replace")
    absent = next((text for text in ABSENT if text in said), "")
    if absent:
        raise Skip(f"this GPU or its driver does not encode for this ffmpeg: {absent}")
    if done.returncode:
        raise Failure(
            found=_first_line(done),
            expected="h264_nvenc writes a clip",
            because="NVIDIA_DRIVER_CAPABILITIES without video at start",
            fix="keep NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
        )
    frames = read(_ffmpeg("-c:v", "h264", "-i", str(clip), *RAW).stdout, "h264_nvenc")
    return {"frames": frames, "bytes": clip.stat().st_size}


def read(data: bytes, codec: str) -> int:
    """How many frames these packed RGB pictures are; a Failure unless they are the clip's, in order."""
    size = WIDTH * HEIGHT * 3
    numbers = [clips.number_of(Picture(data[start : start + size])) for start in range(0, len(data), size)]
    if numbers != list(range(clips.FRAMES)):
        raise Failure(
            found=f"{codec}: frames {numbers} (-1: the colour is wrong)", expected=f"frames 0 to {clips.FRAMES - 1}"
        )
    return len(numbers)


@dataclass(frozen=True)
class Picture:
    """One frame as clips.number_of asks for it, without numpy."""

    data: bytes
    shape: tuple[int, int, int] = (HEIGHT, WIDTH, 3)

    def __getitem__(self, place: tuple[int, int]) -> bytes:
        start = (place[0] * WIDTH + place[1]) * 3
        return self.data[start : start + 3].ljust(3, b"\0")


def _ffmpeg(*options: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([clips.ffmpeg(), "-v", "error", *options], input=given, capture_output=True)


def _first_line(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode(errors="replace").strip()
    return said.splitlines()[0] if said else f"exit {done.returncode}"


def _applies(image: Image) -> bool:
    return "nvdec" in image.features and "ffmpeg" in image.system()


CHECK = Check("nvdec", "cpu", run, applies=_applies)
ON_GPU = Check("gpu-decode", "gpu", on_gpu, applies=_applies)
ENCODE = Check(
    "gpu-encode",
    "gpu",
    encoded,
    applies=_applies,
    about="clips written on the GPU that are empty, out of order or of another colour",
)
