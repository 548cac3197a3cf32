"""JPEG decoding and resizing by PIL, which feed most training of vision models. pillow and pillow-simd cannot be in one
image: run this in both."""

from __future__ import annotations

import io
from importlib import metadata

from ..bench import Bench, Outcome, Setting
from ..measure import rate, seconds

WIDTH, HEIGHT, SMALL, AT_ONCE = 1920, 1080, 448, 5


def run(setting: Setting) -> Outcome:
    from PIL import Image, features

    noise = Image.effect_noise((WIDTH, HEIGHT), 40)
    slope = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    picture, file = Image.merge("RGB", (noise, slope, Image.blend(noise, slope, 0.5))), io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    data = file.getvalue()

    def decode() -> None:
        for _ in range(AT_ONCE):
            Image.open(io.BytesIO(data)).load()

    def resize(method: Image.Resampling) -> None:
        for _ in range(AT_ONCE):
            picture.resize((SMALL, SMALL), method)

    repeats = setting.repeats(10, 5)
    metrics = [rate("JPEG decode", "images/s", AT_ONCE, seconds(decode, repeats))]
    for method in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        taken = seconds(lambda: resize(method), repeats)  # noqa: B023
        metrics.append(rate(f"resize {method.name.lower()}", "images/s", AT_ONCE, taken))
    notes = {
        "library": _library(),
        "jpeg": features.version("jpg") or "",
        "turbo": bool(features.check("libjpeg_turbo")),
        "from": f"{WIDTH}x{HEIGHT}",
        "to": f"{SMALL}x{SMALL}",
    }
    return Outcome(metrics, notes)


def _library() -> str:
    """pillow-simd first: an image that has it may keep a record of pillow for pip's sake."""
    import PIL

    for name in ("pillow-simd", "pillow"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return f"PIL {PIL.__version__}"


BENCH = Bench("pictures", run, "PIL: JPEG decoding and resizing of a 1920 x 1080 picture", needs=("PIL",))
