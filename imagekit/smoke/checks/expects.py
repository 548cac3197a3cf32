"""A promise in the profile that nobody proves is worse than none."""

from __future__ import annotations

from ..check import Check, Failure, Figures, Image
from ..families import FAMILIES
from ..readers import READERS
from . import clip_model, image_formats, read_video, timm_model

MODELS = (*FAMILIES, clip_model.MODEL, timm_model.NAME)


def unproven(image: Image) -> list[str]:
    """Entries of `expects` for which there is no check."""
    expects = image.expects
    found = [f"expects.{key}" for key in expects if key not in ("read", "write", "model", "formats")]
    proven = {(case.codec, case.reader) for case in read_video.CASES}
    for codec, readers in (expects.get("read") or {}).items():
        found += [f"read {codec} by {reader}" for reader in readers if (codec, reader) not in proven]
    model = expects.get("model")
    if model and model not in MODELS:
        found.append(f"model {model}")
    return found + [f"format {name}" for name in expects.get("formats") or () if name not in image_formats.SAMPLES]


def run(image: Image) -> Figures:
    found = unproven(image)
    if found:
        raise Failure(
            found="no check knows " + ", ".join(found),
            expected=f"models: {', '.join(MODELS)}; codecs: {', '.join(read_video.ENCODERS)}; "
            f"readers: {', '.join(READERS)}; formats: {', '.join(image_formats.SAMPLES)}",
            because="the profile promises it",
            fix="take it out of the profile, or teach the check",
        )
    return {}


CHECK = Check("expects", "static", run, applies=lambda image: bool(image.expects))
