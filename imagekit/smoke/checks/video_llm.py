"""All packages import and the model still does not run: transformers, its processor, torch, the decoder and numpy meet
here as they meet in a job, in a model of the real class with a few thousand random weights."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from typing import Any

from .. import clips, families
from ..check import Check, Failure, Figures, Image, progress, shorten
from ..families import FAMILIES, LONG, SHORT
from ..readers import READERS

LENGTHS = (4, 8)
"""Frames of a video; even, because some models see them in pairs."""

TOKENS = 4
ROW, DEVICE = 1e-4, 1e-3
"""How far logits may be from those of the same row alone, and from the CPU's."""


def run(image: Image) -> Figures:
    return named(image, lambda: on_cpu(image))


def run_on_gpu(image: Image) -> Figures:
    return named(image, lambda: on_gpu(image))


def named(image: Image, body: Callable[[], Figures]) -> Figures:
    try:
        return body()
    except Failure:
        raise
    except Exception as error:  # whatever the stack raises here it would raise in a job
        traceback.print_exc()
        raise Failure(
            found=shorten(f"{type(error).__name__}: {error}"),
            expected=f"a tiny {image.expects['model']} runs a batch of a decoded clip",
            because="transformers, torch, torchvision and the decoder do not fit together",
            fix="lock versions that do; the traceback is on stderr",
        ) from error


def on_cpu(image: Image) -> Figures:
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pictures = decoded(image)
    family, model, processor = families.build(image.expects["model"])
    figures: Figures = {"transformers": transformers.__version__, "weights": sum(w.numel() for w in model.parameters())}
    for length in LENGTHS:
        progress(f"running the model on {length} frames")
        started = time.monotonic()
        figures[f"{length} frames"] = judged(torch, family, model, processor, pictures, length)
        figures[f"{length} frames"]["seconds"] = round(time.monotonic() - started, 2)
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


def decoded(image: Image) -> list[Any]:
    progress("decoding")
    names = (image.expects.get("read") or {}).get("h264") or ["av"]
    return list(READERS[names[0]].all(clips.make("h264")))


def video(pictures: list[Any], length: int) -> Any:
    """So many frames out of all, evenly, as one array."""
    import numpy

    return numpy.stack([pictures[number * len(pictures) // length] for number in range(length)])


def judged(torch: Any, family: Any, model: Any, processor: Any, pictures: list[Any], length: int) -> Figures:
    frames, pad = video(pictures, length), processor.tokenizer.pad_token_id
    alone = families.batch(processor, [family.prompt(SHORT)], [frames])
    both = families.batch(processor, [family.prompt(SHORT), family.prompt(LONG)], [frames, frames])
    other = families.batch(processor, [family.prompt(SHORT)], [frames[::-1].copy()])
    with torch.inference_mode():
        first, second, row, another = (logits(model, inputs) for inputs in (alone, alone, both, other))
        finite(torch, first)
        same_bits(torch, first, second)
        off = near(first[0, -1], row[0, -1], ROW, "a row of a batch of two, against the same row alone")
        sees(first[0, -1], another[0, -1])
        told, again, pair = (families.generated(model, inputs, TOKENS, pad) for inputs in (alone, alone, both))
    counted(tuple(told.shape), (1, TOKENS))
    counted(tuple(pair.shape), (2, TOKENS))
    if not torch.equal(told, again):
        raise Failure(
            found=f"tokens {told.tolist()}, then {again.tolist()}", expected="the same ones, without sampling"
        )
    return {"prompt": alone["input_ids"].shape[1], "tokens": told[0].tolist(), "row_differs_by": off}


def logits(model: Any, inputs: Any) -> Any:
    return model(**inputs, use_cache=False).logits


def finite(torch: Any, values: Any, where: str = "") -> None:
    if not torch.isfinite(values).all():
        raise Failure(found=f"{where}logits with NaN or infinity", expected="finite logits")


def same_bits(torch: Any, first: Any, second: Any) -> None:
    if not torch.equal(first, second):
        off = (first - second).abs().max().item()
        raise Failure(found=f"two runs differ by {off:.2e}", expected="the same bits on one machine with one thread")


def near(one: Any, other: Any, tolerance: float, what: str) -> float:
    off = float((one - other).abs().max().item())
    if not off <= tolerance:
        raise Failure(found=f"{what}: logits differ by {off:.1e}", expected=f"at most {tolerance:.0e}")
    return off


def sees(one: Any, other: Any) -> None:
    if not float((one - other).abs().max().item()) > 0:
        raise Failure(
            found="a clip and the same clip backwards give the same logits",
            expected="logits that depend on the frames",
            because="the frames do not reach the text model: processor and model disagree about the video's tokens",
        )


def counted(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise Failure(found=f"{shape} tokens generated", expected=f"{expected}: rows, tokens")


def on_gpu(image: Image) -> Figures:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    pictures = decoded(image)
    family, model, processor = families.build(image.expects["model"])
    frames, figures, pad = video(pictures, LENGTHS[-1]), Figures(), processor.tokenizer.pad_token_id
    with torch.inference_mode():
        exact = logits(model, families.batch(processor, [family.prompt(SHORT)], [frames]))
        finite(torch, exact, "CPU: ")
        for name in ("float32", "bfloat16", "float16"):
            if name == "bfloat16" and torch.cuda.get_device_capability(0)[0] < 8:
                continue
            progress(f"running the model in {name}")
            kind = getattr(torch, name)
            inputs = families.batch(processor, [family.prompt(SHORT)], [frames], "cuda", kind)
            model = model.to("cuda", kind)
            got = logits(model, inputs)
            finite(torch, got, f"{name}: ")
            if name == "float32":
                figures["differs_by"] = near(got.cpu(), exact, DEVICE, "float32 on the GPU, against the CPU")
            told = families.generated(model, inputs, TOKENS, pad)
            counted(tuple(told.shape), (1, TOKENS))
            figures[name] = told[0].tolist()
    return {**figures, "peak_gpu_mb": torch.cuda.max_memory_allocated() // 2**20}


def _applies(image: Image) -> bool:
    return image.expects.get("model") in FAMILIES


COVERS = (
    "transformers",
    "torch",
    "torchvision",
    "numpy",
    "av",
    "tokenizers",
    "huggingface-hub",
    "accelerate",
    "pillow",
)

CHECK = Check("video-llm", "cpu", run, covers=COVERS, applies=_applies, limit=180)
ON_GPU = Check(
    "gpu-video-llm",
    "gpu",
    run_on_gpu,
    covers=COVERS,
    applies=lambda image: _applies(image) and image.real_torch and bool(image.cuda),
    limit=180,
)
