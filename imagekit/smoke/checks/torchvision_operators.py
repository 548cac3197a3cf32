"""torchvision that was compiled against another torch: "operator torchvision::nms does not exist" at the first
detection, or pictures resized to something else than the model was trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .. import resample
from ..check import Check, Failure, Figures, Image, import_torch, progress, shorten

Box = Sequence[float]

BOXES, THRESHOLDS = 120, (0.13, 0.32, 0.52)
"""No overlap of two of these boxes is within rounding of one of these thresholds."""

OLD, SIZES = (37, 29), ((80, 64), (19, 13), (37, 58))
"""Width and height before and after."""

OFF, LEVELS = 5e-5, 1


def run(image: Image) -> Figures:
    torch = import_torch()
    torch.set_num_threads(1)
    progress("import torchvision")
    try:
        ops = import_module("torchvision.ops")
    except Exception as error:  # the registration of fake operators raises RuntimeError, a library raises OSError
        raise _abi("import torchvision.ops", error) from error
    progress("torchvision.ops.nms")
    kept = _nms(torch, ops)
    progress("torch.nn.functional.interpolate")
    largest = max(_interpolate(torch, size) for size in SIZES)
    progress("torchvision.transforms.functional.resize")
    levels = max(_resize(size) for size in SIZES)
    return {"boxes": BOXES, "kept": kept, "interpolate_off": float(f"{largest:.1e}"), "resize_off_levels": levels}


def _abi(what: str, error: Exception) -> Failure:
    return Failure(
        found=shorten(f"{what}: {type(error).__name__}: {error}"),
        expected="torchvision's compiled operators are there",
        because="its library did not load into this torch: each torchvision is compiled for one torch",
        fix="take the torchvision that belongs to this torch: imagekit lock",
        on_gpu="operator torchvision::nms does not exist",
    )


def _nms(torch: Any, ops: Any) -> list[int]:
    boxes, scores = random_boxes(BOXES)
    kept = []
    for threshold in THRESHOLDS:
        try:
            got = ops.nms(torch.tensor(boxes), torch.tensor(scores), threshold).tolist()
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            raise _abi("torchvision.ops.nms", error) from error
        meant = suppressed(boxes, scores, threshold)
        if got != meant:
            raise Failure(
                found=f"nms at {threshold} keeps {len(got)} boxes; wrong about {sorted(set(got) ^ set(meant))[:8]}",
                expected=f"the {len(meant)} boxes of a loop in Python, best first",
                because="torchvision's operator computes something else on this CPU",
            )
        kept.append(len(got))
    return kept


def random_boxes(count: int) -> tuple[list[list[float]], list[float]]:
    """Corners that are whole numbers, so that areas are exact, and scores of which no two are alike."""
    chance = random.Random(0)
    corners = [(chance.randint(0, 60), chance.randint(0, 60)) for _ in range(count)]
    boxes = [
        [float(x), float(y), float(x + chance.randint(5, 40)), float(y + chance.randint(5, 40))] for x, y in corners
    ]
    return boxes, [place / count for place in chance.sample(range(count), count)]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def suppressed(boxes: Sequence[Box], scores: Sequence[float], threshold: float) -> list[int]:
    """What non-maximum suppression keeps, best first."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda place: -scores[place]):
        if all(overlap(boxes[index], boxes[better]) <= threshold for better in kept):
            kept.append(index)
    return kept


def between(values: Sequence[float], wanted: int) -> list[float]:
    """A line in another size by linear interpolation between the centres of pixels, without a wider filter."""
    scale, line = len(values) / wanted, []
    for place in range(wanted):
        source = max(0.0, (place + 0.5) * scale - 0.5)
        left = min(int(source), len(values) - 1)
        right = min(left + 1, len(values) - 1)
        line.append(values[left] + (values[right] - values[left]) * (source - left))
    return line


def _interpolate(torch: Any, size: tuple[int, int]) -> float:
    picture = [[value / 255 for value in row] for row in resample.noise(*OLD, seed=1)]
    narrow = torch.tensor([between(row, size[0]) for row in picture])
    meant = torch.tensor([between(column, size[1]) for column in narrow.t().tolist()]).t()
    got = torch.nn.functional.interpolate(
        torch.tensor([[picture]]), size=(size[1], size[0]), mode="bilinear", align_corners=False, antialias=False
    )[0, 0]
    off = float((got - meant).abs().max())
    if not off <= OFF:
        raise Failure(
            found=f"interpolate {OLD[0]}x{OLD[1]} to {size[0]}x{size[1]}: off by {off:.1e}",
            expected=f"at most {OFF:.0e}",
            because="torch's bilinear interpolation computes something else on this CPU",
        )
    return off


def _resize(size: tuple[int, int]) -> int:
    """torchvision's resize of a picture of PIL, which is what most data sets go through."""
    from PIL import Image as pictures
    from torchvision.transforms import InterpolationMode, functional

    picture = resample.noise(*OLD, seed=2)
    there = pictures.frombytes("L", OLD, bytes(value for row in picture for value in row))
    data = functional.resize(there, [size[1], size[0]], InterpolationMode.BILINEAR).tobytes()
    got = [list(data[y * size[0] : (y + 1) * size[0]]) for y in range(len(data) // size[0])]
    off = resample.furthest(resample.resize(picture, size, "BILINEAR"), got)
    if off > LEVELS:
        raise Failure(
            found=f"torchvision's resize of a picture, {OLD[0]}x{OLD[1]} to {size[0]}x{size[1]}: off by {off} levels",
            expected=f"pillow's bilinear filter within {LEVELS}",
            because="this PIL, or torchvision's way to it, resizes otherwise",
        )
    return off


CHECK = Check(
    "operators",
    "cpu",
    run,
    covers=("torchvision", "torch", "pillow", "pillow-simd", "numpy"),
    applies=lambda image: image.has("torchvision") and image.real_torch,
)
