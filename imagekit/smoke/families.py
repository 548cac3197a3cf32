"""Families of video language models: of each a tiny one with random weights, and its real processor on a vocabulary of
a few words. Nothing is downloaded."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .check import Failure, progress

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
WORDS = ("look", "at", "this", "clip", "and", "say", "what", "happens", "now", "please")
SHORT, LONG = "say what happens", "look at this clip and say what happens now please"
"""Questions of different length, so that a batch of both has padding."""

PICTURE, PATCH = 16, 4
"""Of the LLaVA families. The first pooling divided by PICTURE // PATCH**2, so that must not be 0."""

QWEN_TILE = 28
"""Sides are multiples of it: of the patch (14) and of the 2 x 2 patches that make one token."""

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SPREAD = {"initializer_range": 0.2}
"""Wide enough that the logits are about 1 and a tolerance means something."""


@dataclass(frozen=True)
class Family:
    name: str
    """In `expects.model`."""
    architecture: str
    """The class, as config.json names it."""
    since: str
    """The transformers that brought it."""
    video: str
    """What stands for a video in a prompt."""
    tokens: tuple[str, ...]
    """Special tokens of its tokenizer."""
    tokenizer: str
    """The class that its processor insists on, before transformers 5."""
    config: Callable[[Any, Callable[[str], int]], Any]
    """A tiny configuration, made of transformers and of what gives a token's number."""
    processor: Callable[[Any, Any], Any]
    """Its processor, made of transformers and of the tokenizer."""

    def prompt(self, question: str) -> str:
        return f"{self.video} {question}"


def build(name: str) -> tuple[Family, Any, Any]:
    """A family, a model of it in float32 on the CPU, the same at every call, and its processor."""
    import torch

    family = FAMILIES[name]
    progress("importing transformers")
    transformers = importlib.import_module("transformers")
    if not hasattr(transformers, family.architecture):
        raise Failure(
            found=f"transformers {transformers.__version__} has no {family.architecture}",
            expected=f"the model that the profile expects: {name}",
            because=f"it came with transformers {family.since}",
            fix=f"transformers >={family.since}, or another expects.model",
        )
    progress(f"making a tiny {name}")
    tokenizer = _tokenizer(transformers, family)
    torch.manual_seed(0)
    model = getattr(transformers, family.architecture)(family.config(transformers, tokenizer.convert_tokens_to_ids))
    return family, model.eval(), family.processor(transformers, tokenizer)


def batch(processor: Any, prompts: Sequence[str], videos: Sequence[Any], device: str = "cpu", dtype: Any = None) -> Any:
    """What the model takes. A video is an array of frames, height, width, RGB."""
    made = processor(text=list(prompts), videos=list(videos), return_tensors="pt", padding=True)
    return {
        key: value.to(device, dtype) if dtype is not None and key.startswith("pixel_values") else value.to(device)
        for key, value in made.items()
        if hasattr(value, "to")
    }


def generated(model: Any, inputs: Any, count: int, pad: int) -> Any:
    """Exactly so many tokens for each row, the likeliest ones."""
    told = model.generate(**inputs, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=pad)
    return told[:, inputs["input_ids"].shape[1] :]


def _tokenizer(transformers: Any, family: Family) -> Any:
    tokenizers = importlib.import_module("tokenizers")
    names = (PAD, BEGIN, END, UNKNOWN, *family.tokens)
    numbers = {word: number for number, word in enumerate((*names, *WORDS))}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=UNKNOWN))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    plain.add_special_tokens(list(names))
    old = int(transformers.__version__.split(".")[0]) < 5
    kind = getattr(transformers, family.tokenizer if old else "PreTrainedTokenizerFast")
    roles = {"pad_token": PAD, "bos_token": BEGIN, "eos_token": END, "unk_token": UNKNOWN}
    return kind(tokenizer_object=plain, padding_side="left", model_max_length=512, **roles)


def _known(kind: Any, **arguments: Any) -> Any:
    """`kind` made of those arguments that this version of it has."""
    taken = inspect.signature(kind.__init__).parameters
    return kind(**{name: value for name, value in arguments.items() if name in taken})


def _first(transformers: Any, *names: str) -> Any:
    """The first class that this transformers has: processors of videos were split off those of images."""
    return next(getattr(transformers, name) for name in names if hasattr(transformers, name))


def _special(number: Callable[[str], int]) -> dict[str, int]:
    return {"pad_token_id": number(PAD), "bos_token_id": number(BEGIN), "eos_token_id": number(END)}


def _vocabulary(number: Callable[[str], int]) -> int:
    return number(WORDS[-1]) + 1


def _llava(transformers: Any, number: Callable[[str], int]) -> dict[str, Any]:
    text = {**SIZES, **SPREAD, **_special(number), "num_key_value_heads": 2, "max_position_embeddings": 512}
    return {
        "vision_config": transformers.CLIPVisionConfig(**SIZES, image_size=PICTURE, patch_size=PATCH),
        "text_config": transformers.LlamaConfig(**text, vocab_size=_vocabulary(number)),
        "image_token_index": number("<image>"),
        "video_token_index": number("<video>"),
        # transformers 4.45 to 4.47 take a prompt with fewer tokens than these for one that the processor did not expand
        "image_seq_length": 1,
        "video_seq_length": 1,
    }


def _llava_next_video(transformers: Any, number: Callable[[str], int]) -> Any:
    grid = {"image_grid_pinpoints": [[PICTURE, PICTURE]], "spatial_pool_mode": "average", "spatial_pool_stride": 2}
    return transformers.LlavaNextVideoConfig(**_llava(transformers, number), **grid)


def _video_llava(transformers: Any, number: Callable[[str], int]) -> Any:
    return transformers.VideoLlavaConfig(**_llava(transformers, number))


def _qwen(transformers: Any, number: Callable[[str], int]) -> dict[str, Any]:
    return {
        **SIZES, **SPREAD, **_special(number),
        "vocab_size": _vocabulary(number),
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }  # fmt: skip


def _qwen2_vl(transformers: Any, number: Callable[[str], int]) -> Any:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    return transformers.Qwen2VLConfig(**_qwen(transformers, number), vision_config=vision)


def _qwen2_5_vl(transformers: Any, number: Callable[[str], int]) -> Any:
    vision = {
        "depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
        "fullatt_block_indexes": [1],
    }  # fmt: skip
    return transformers.Qwen2_5_VLConfig(**_qwen(transformers, number), vision_config=vision)


SQUARE = {"size": {"shortest_edge": PICTURE}, "crop_size": {"height": PICTURE, "width": PICTURE}}
PATCHES = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}


def _llava_next_video_processor(transformers: Any, tokenizer: Any) -> Any:
    videos = _first(transformers, "LlavaNextVideoVideoProcessor", "LlavaNextVideoImageProcessor")(**SQUARE)
    pictures = transformers.LlavaNextImageProcessor(**SQUARE, image_grid_pinpoints=[[PICTURE, PICTURE]])
    parts = {"video_processor": videos, "image_processor": pictures, "tokenizer": tokenizer}
    return _known(transformers.LlavaNextVideoProcessor, **parts, **PATCHES)


def _video_llava_processor(transformers: Any, tokenizer: Any) -> Any:
    videos = _first(transformers, "VideoLlavaVideoProcessor", "VideoLlavaImageProcessor")(**SQUARE)
    pictures = _first(transformers, "VideoLlavaImageProcessor", "CLIPImageProcessor")(**SQUARE)
    parts = {"video_processor": videos, "image_processor": pictures, "tokenizer": tokenizer}
    return _known(transformers.VideoLlavaProcessor, **parts, **PATCHES)


def _qwen_processor(kind: str) -> Callable[[Any, Any], Any]:
    def make(transformers: Any, tokenizer: Any) -> Any:
        limits = {"min_pixels": (2 * QWEN_TILE) ** 2, "max_pixels": (3 * QWEN_TILE) ** 2}
        parts = {"image_processor": transformers.Qwen2VLImageProcessor(**limits), "tokenizer": tokenizer}
        if hasattr(transformers, "Qwen2VLVideoProcessor"):
            parts["video_processor"] = transformers.Qwen2VLVideoProcessor(**limits)
        return _known(getattr(transformers, kind), **parts)

    return make


LLAVA = {"video": "<video>", "tokens": ("<image>", "<video>"), "tokenizer": "LlamaTokenizerFast"}
QWEN = {
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
    "tokens": ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    "tokenizer": "Qwen2TokenizerFast",
}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "llava-next-video",
            "LlavaNextVideoForConditionalGeneration",
            "4.42",
            config=_llava_next_video,
            processor=_llava_next_video_processor,
            **LLAVA,  # type: ignore[arg-type]
        ),
        Family(
            "video-llava",
            "VideoLlavaForConditionalGeneration",
            "4.42",
            config=_video_llava,
            processor=_video_llava_processor,
            **LLAVA,  # type: ignore[arg-type]
        ),
        Family(
            "qwen2-vl",
            "Qwen2VLForConditionalGeneration",
            "4.45",
            config=_qwen2_vl,
            processor=_qwen_processor("Qwen2VLProcessor"),
            **QWEN,  # type: ignore[arg-type]
        ),
        Family(
            "qwen2.5-vl",
            "Qwen2_5_VLForConditionalGeneration",
            "4.49",
            config=_qwen2_5_vl,
            processor=_qwen_processor("Qwen2_5_VLProcessor"),
            **QWEN,  # type: ignore[arg-type]
        ),
    )
}
