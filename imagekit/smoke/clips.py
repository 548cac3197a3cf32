"""Clips whose every frame says which frame it is.

The upper half of frame n is n written in black and white blocks, the lower half one colour. So a reader is proven to
give the right frames in the right order, and red as red, whatever the codec did to the pixels.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
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
    "mjpeg": ("mjpeg", ("-q:v", "2", "-strict", "unofficial")),
}

CONTAINERS = {"libvpx": "webm", "libvpx-vp9": "webm"}
"""Where it is not mp4."""


@dataclass(frozen=True)
class Recipe:
    """How a clip is written. `options` are ffmpeg's, in pairs; all but a tag are the encoder's own as well."""

    name: str
    encoder: str
    options: tuple[str, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    rate: int = RATE
    """Ticks of the clock in a second: frames, unless they come unevenly."""
    uneven: bool = False
    """Whether each frame is shown for longer than the one before."""
    sound: bytes = b""
    """16 bit samples, one channel, `SOUND_RATE` in a second."""

    index_first: bool = False
    """Whether an MP4 can be read before it is there in full."""

    @property
    def file(self) -> Path:
        return Path(f"{self.name}.{CONTAINERS.get(self.encoder, 'mp4')}").absolute()

    def tick(self, number: int) -> int:
        """When a frame is shown."""
        return number * (number + 9) // 2 if self.uneven else number


FAST_START = "+faststart"
SOUND_RATE = 16000
UNEVEN = "N*(N+9)/2"
"""`Recipe.tick` in ffmpeg's notation."""


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
    if any(abs(int(seen) - meant) > TOLERANCE for seen, meant in zip(lower, COLOUR)):
        return -1
    block = width // BITS
    middle = [picture[height // 4, bit * block + block // 2] for bit in range(BITS)]
    return sum(1 << bit for bit, pixel in enumerate(middle) if int(pixel[1]) > 125)


def make(codec: str, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A clip in the current folder, by ffmpeg where it is and else by PyAV, so that its reader is what is judged."""
    encoder, options = ENCODERS[codec]
    return write(Recipe(encoder, encoder, options, width, height))


def encode(encoder: str) -> Path:
    """A clip written by the program ffmpeg."""
    options = next((known for name, known in ENCODERS.values() if name == encoder), ())
    return _by_ffmpeg(Recipe(encoder, encoder, options))


def write(recipe: Recipe) -> Path:
    return _by_ffmpeg(recipe) if shutil.which("ffmpeg") else _by_av(recipe)


def _by_ffmpeg(recipe: Recipe) -> Path:
    size = f"{recipe.width}x{recipe.height}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(recipe.rate), "-i", "-"]
    if recipe.sound:
        heard = Path(f"{recipe.name}.s16").absolute()
        heard.write_bytes(recipe.sound)
        source += ["-f", "s16le", "-ar", str(SOUND_RATE), "-ac", "1", "-i", str(heard), "-c:a", "aac"]
    options = [*recipe.options, *(("-movflags", FAST_START) if recipe.index_first else ())]
    target = ["-c:v", recipe.encoder, *options, "-pix_fmt", "yuv420p", "-threads", "1", str(recipe.file)]
    tries = [target]
    if recipe.uneven:  # the first option is unknown before ffmpeg 5.1, the second is on its way out
        times = ["-vf", f"setpts={UNEVEN}"]
        tries = [[*times, "-fps_mode", "vfr", *target], [*times, "-vsync", "vfr", *target]]
    pictures = b"".join(frame(number, recipe.width, recipe.height) for number in range(FRAMES))
    for arguments in tries:
        command = [ffmpeg(), "-v", "error", "-y", *source, *arguments]
        done = subprocess.run(command, input=pictures, capture_output=True)
        if not done.returncode and recipe.file.is_file():
            return recipe.file
    said = done.stderr.decode(errors="replace").strip().splitlines()
    raise Failure(
        found=f"ffmpeg -c:v {recipe.encoder}: {said[-1] if said else f'exit {done.returncode}'}",
        expected="a clip",
        because="this ffmpeg has no such encoder, or a library of it is missing",
        fix="use the distribution's ffmpeg",
    )


def _by_av(recipe: Recipe) -> Path:
    try:
        av, numpy = importlib.import_module("av"), importlib.import_module("numpy")
    except ImportError:
        ffmpeg()  # says what is missing
        raise
    pairs = zip(recipe.options[::2], recipe.options[1::2])
    options = {name[1:]: value for name, value in pairs if ":" not in name}
    clock = Fraction(1, recipe.rate)
    whole = {"movflags": FAST_START} if recipe.index_first else {}
    with av.open(str(recipe.file), "w", options=whole) as container:
        stream = container.add_stream(recipe.encoder, rate=recipe.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, "yuv420p"
        stream.codec_context.time_base = clock
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono") if recipe.sound else None
        for number in range(FRAMES):
            row = numpy.frombuffer(frame(number, recipe.width, recipe.height), dtype="uint8")
            picture = av.VideoFrame.from_ndarray(row.reshape(recipe.height, recipe.width, 3), format="rgb24")
            picture.pts, picture.time_base = recipe.tick(number), clock
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound is not None:
            samples = numpy.frombuffer(recipe.sound, dtype="int16").reshape(1, -1)
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
    return recipe.file
