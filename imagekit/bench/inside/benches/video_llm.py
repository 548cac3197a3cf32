"""A video language model in small: frames through a vision tower, a prompt, then one token after the other."""

from __future__ import annotations

import time
from typing import Any

from ..bench import Bench, Outcome, Setting
from ..measure import Metric, rate, seconds, waiting_for

FRAMES, PROMPT, TOKENS, VOCABULARY = 8, 512, 32, 1000
SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4}


def run(setting: Setting) -> Outcome:
    import torch
    import transformers

    metrics, notes = list[Metric](), dict[str, Any]({"transformers": transformers.__version__, **SIZES})
    for device in setting.devices:
        kind = torch.float32 if device == "cpu" else torch.float16
        notes[f"{device} dtype"] = str(kind).removeprefix("torch.")
        torch.manual_seed(0)
        with torch.inference_mode():
            tower, model = (network.to(device, kind).eval() for network in _networks(transformers))
            pictures = torch.randn(FRAMES, 3, 224, 224, device=device, dtype=kind)
            taken = seconds(lambda: tower(pictures), setting.repeats(10), 3, waiting_for(device))  # noqa: B023
            metrics.append(rate(f"{device} vision tower", "frames/s", FRAMES, taken))
            metrics += _language(model, device, setting.repeats(10))
    return Outcome(metrics, {**notes, "frames": FRAMES, "prompt": PROMPT, "tokens": TOKENS})


def _networks(transformers: Any) -> tuple[Any, Any]:
    vision = transformers.CLIPVisionConfig(**SIZES, image_size=224, patch_size=14)
    text = transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=2 * PROMPT
    )
    return transformers.CLIPVisionModel(vision), transformers.LlamaForCausalLM(text)


def _language(model: Any, device: str, repeats: int) -> list[Metric]:
    import torch

    prompt, wait = torch.randint(0, VOCABULARY, (1, PROMPT), device=device), waiting_for(device)
    read, written = list[float](), list[float]()
    for _ in range(1 + repeats):
        wait()
        started = time.perf_counter()
        out = model(prompt, use_cache=True)
        wait()
        between = time.perf_counter()
        for _ in range(TOKENS):
            token = out.logits[:, -1:].argmax(dim=-1)
            out = model(token, past_key_values=out.past_key_values, use_cache=True)
        wait()
        ended = time.perf_counter()
        if out.logits.device.type != device:
            raise RuntimeError(f"the answer is on {out.logits.device}, not on {device}")
        read.append(between - started)
        written.append(ended - between)
    # the first round warms up
    return [
        rate(f"{device} prefill", "tokens/s", PROMPT, read[1:]),
        rate(f"{device} decode", "tokens/s", TOKENS, written[1:]),
    ]


BENCH = Bench(
    "video-llm",
    run,
    "a tiny random vision tower and Llama: frames/s, tokens/s of a prompt and of an answer",
    needs=("torch", "transformers"),
)
