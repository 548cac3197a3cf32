"""All packages import and the model still does not run: transformers, torch, the decoder and numpy meet here as they
meet in a job, in a model of the real class with a few thousand random weights."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from typing import Any

from .. import clips
from ..check import Check, Failure, Figures, Image, progress, shorten
from ..readers import READERS

TEXT_TOKENS, VIDEO_TOKEN, IMAGE_TOKEN, VOCABULARY = 6, 90, 91, 96
PICTURE, PATCH, WIDTH = 28, 14, 32


def llava_next_video() -> Any:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
    )

    sizes = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = CLIPVisionConfig(**sizes, image_size=PICTURE, patch_size=PATCH, projection_dim=WIDTH)
    text = LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=512)
    config = LlavaNextVideoConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        video_token_index=VIDEO_TOKEN,
        image_grid_pinpoints=[[PICTURE, PICTURE]],
        spatial_pool_mode="average",
        spatial_pool_stride=2,
    )
    return LlavaNextVideoForConditionalGeneration(config)


MODELS: dict[str, Callable[[], Any]] = {"llava-next-video": llava_next_video}
"""How to build each model that a profile may expect."""


def run(image: Image) -> Figures:
    try:
        return _one_batch(image)
    except Failure:
        raise
    except Exception as error:  # whatever the stack raises here it would raise in a job
        traceback.print_exc()
        raise Failure(
            found=shorten(f"{type(error).__name__}: {error}"),
            expected=f"a tiny {image.expects['model']} runs one batch of a decoded clip",
            because="transformers, torch, torchvision and the decoder do not fit together",
            fix="lock versions that do; the traceback is on stderr",
        ) from error


def _one_batch(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    progress("decoding")
    clip = _clip(image)
    progress("importing transformers")
    torch.manual_seed(0)
    model = MODELS[image.expects["model"]]().eval()
    progress("running the model")
    # Two by two patches of each frame, pooled to one token.
    tokens = [1, *[VIDEO_TOKEN] * clip.shape[1], *range(2, 2 + TEXT_TOKENS)]
    batch = {"input_ids": torch.tensor([tokens]), "pixel_values_videos": clip}
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    started = time.monotonic()
    with torch.inference_mode():
        first, second = (model(**batch, use_cache=False).logits for _ in range(2))
    seconds = round((time.monotonic() - started) / 2, 3)
    _judge(torch, first, second)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    weights = sum(weight.numel() for weight in model.parameters())
    return {"weights": weights, "frames": clip.shape[1], "forward_seconds": seconds, "peak_memory_mb": peak}


def _clip(image: Image) -> Any:
    """Four frames of a decoded MP4 as (batch, frames, channels, height, width), scaled to the model's size."""
    import torch

    readers = (image.expects.get("read") or {}).get("h264") or ["av"]
    pictures = READERS[readers[0]].all(clips.make("h264"))
    frames = torch.stack([torch.tensor(pictures[number].copy()) for number in range(0, clips.FRAMES, 5)])
    scaled = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).float() / 255, size=(PICTURE, PICTURE))
    return (scaled - 0.5).unsqueeze(0)


def _judge(torch: Any, first: Any, second: Any) -> None:
    if not torch.isfinite(first).all():
        raise Failure(found="logits with NaN or infinity", expected="finite logits")
    if not torch.equal(first, second):
        off = (first - second).abs().max().item()
        raise Failure(found=f"two runs differ by {off:.2e}", expected="the same bits on one machine with one thread")


CHECK = Check(
    "video-llm",
    "cpu",
    run,
    covers=("transformers", "torch", "torchvision", "numpy", "av", "tokenizers", "huggingface-hub", "accelerate"),
    applies=lambda image: image.expects.get("model") in MODELS,
    limit=120,
)
