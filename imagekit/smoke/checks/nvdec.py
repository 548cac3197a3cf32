"""Video decoded on the CPU although the node has decoders for it: an ffmpeg without nvcuvid falls back in silence."""

from __future__ import annotations

import subprocess

from .. import clips
from ..check import Check, Failure, Figures, Image

WANTED = (("-decoders", "h264_cuvid"), ("-decoders", "hevc_cuvid"), ("-encoders", "h264_nvenc"))


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
    clip = clips.make("h264", width=320, height=240)
    # The named decoder fails where -hwaccel would quietly decode on the CPU.
    command = [clips.ffmpeg(), "-v", "error", "-c:v", "h264_cuvid", "-i", str(clip), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        raise Failure(
            found=done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit {done.returncode}",
            expected="h264_cuvid decodes the clip",
            because="NVIDIA_DRIVER_CAPABILITIES without video at start, or a GPU without a decoder",
            fix="keep NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
        )
    return {"frames": clips.FRAMES}


def _applies(image: Image) -> bool:
    return "nvdec" in image.features and "ffmpeg" in image.system()


CHECK = Check("nvdec", "cpu", run, applies=_applies)
ON_GPU = Check("gpu-decode", "gpu", on_gpu, applies=_applies)
