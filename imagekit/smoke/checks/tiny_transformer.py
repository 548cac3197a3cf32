"""transformers that switches torch or PIL off in silence: every model class is then a dummy that raises at its first
use."""

from __future__ import annotations

from typing import Any

from ..check import Check, Failure, Figures, Image, progress
from ..families import FAMILIES

STEPS, VOCABULARY = 20, 64


def run(image: Image) -> Figures:
    import torch
    import transformers
    from transformers.utils import is_torch_available, is_vision_available

    missing = [name for name, there in (("torch", is_torch_available()), ("PIL", is_vision_available())) if not there]
    if missing and (missing != ["PIL"] or image.has("pillow")):
        raise Failure(
            found=f"transformers {transformers.__version__} does not see {' and '.join(missing)}",
            expected="it sees the installed torch and PIL",
            because="it asks for a minimum version, or for a distribution of another name",
            fix="take the versions that the facts allow: imagekit lock",
        )
    torch.set_num_threads(1)
    torch.manual_seed(0)
    progress("training a tiny GPT-2")
    model, losses = _model(transformers), list[float]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = torch.arange(16).repeat(4, 1)
    for _ in range(STEPS):
        loss = model(input_ids=tokens, labels=tokens).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if not losses[-1] < losses[0] / 2:
        raise Failure(found=f"loss {losses[0]:.4f} -> {losses[-1]:.4f} in {STEPS} steps", expected="less than half")
    progress("generating")
    told = model.eval().generate(tokens[:1, :4], max_new_tokens=4, do_sample=False, pad_token_id=VOCABULARY - 1)
    return {"transformers": transformers.__version__, "last_loss": round(losses[-1], 4), "tokens": told.shape[1]}


def _model(transformers: Any) -> Any:
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, n_positions=32, vocab_size=VOCABULARY, bos_token_id=0,
        eos_token_id=VOCABULARY - 1,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


CHECK = Check(
    "tiny-transformer",
    "cpu",
    run,
    covers=("transformers", "torch", "tokenizers", "numpy", "huggingface-hub", "safetensors", "pillow"),
    applies=lambda image: image.has("transformers") and image.real_torch and image.expects.get("model") not in FAMILIES,
    limit=120,
)
