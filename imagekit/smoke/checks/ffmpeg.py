"""No ffmpeg, or one without the encoder that the profile promises: every job that writes a video fails at its end."""

from __future__ import annotations

import json
import subprocess

from .. import clips
from ..check import Check, Failure, Figures, Image

CODECS = {
    "libx264": "h264",
    "libx265": "hevc",
    "libvpx-vp9": "vp9",
    "libvpx": "vp8",
    "libaom-av1": "av1",
    "libsvtav1": "av1",
}
"""What a stream of each encoder is called; an encoder that is not here is called as it says itself."""


def run(image: Image) -> Figures:
    encoders = list(image.expects.get("write") or ["libx264"])
    sizes = {}
    for encoder in encoders:
        clip = clips.encode(encoder)
        told = json.loads(_output("ffprobe", "-show_streams", "-count_frames", "-of", "json", str(clip)))["streams"][0]
        decoded = _output("ffmpeg", "-i", str(clip), "-f", "framemd5", "-")
        frames = sum(1 for line in decoded.splitlines() if line and not line.startswith("#"))
        seen = (told["codec_name"], told["width"], told["height"], int(told["nb_read_frames"]), frames)
        expected = (CODECS.get(encoder, told["codec_name"]), clips.WIDTH, clips.HEIGHT, clips.FRAMES, clips.FRAMES)
        if seen != expected:
            raise Failure(
                found=f"{encoder}: {seen}",
                expected=str(expected),
                because="codec, width, height, frames that ffprobe read, frames that ffmpeg decoded",
            )
        sizes[encoder] = clip.stat().st_size
    return {"bytes": sizes}


def _output(tool: str, *arguments: str) -> str:
    done = subprocess.run([clips.ffmpeg(tool), "-v", "error", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failure(found=f"{tool}: {done.stderr.strip()}", expected="it reads the clip that ffmpeg just wrote")
    return done.stdout


CHECK = Check(
    "ffmpeg",
    "cpu",
    run,
    applies=lambda image: bool(image.expects.get("write")) or "ffmpeg" in image.system(),
)
