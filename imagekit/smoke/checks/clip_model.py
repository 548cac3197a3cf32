"""CLIP that imports and embeds nothing: its tokenizer's vocabulary is missing, or open_clip, timm and torchvision do
not fit this torch."""

from __future__ import annotations

from ..check import Check, Failure, Figures, Image, progress

MODEL = "open-clip"
"""What a profile expects when it wants this."""

WIDTH, PICTURE = 32, 64
TEXTS = ["a diagram", "a photo of a dog"]


def run(image: Image) -> Figures:
    import open_clip
    import torch
    from PIL import Image as pictures

    torch.set_num_threads(1)
    torch.manual_seed(0)
    progress("making a small model")
    vision = {"layers": 2, "width": WIDTH, "head_width": 16, "patch_size": 16, "image_size": PICTURE}
    text = {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 2}
    model = open_clip.CLIP(embed_dim=WIDTH, vision_cfg=vision, text_cfg=text).eval()
    prepare = open_clip.image_transform(PICTURE, is_train=False)
    picture = prepare(pictures.effect_noise((160, 120), 50).convert("RGB")).unsqueeze(0)
    tokens = open_clip.tokenize(TEXTS)
    progress("embedding an image and two texts")
    with torch.no_grad():
        seen, read = model.encode_image(picture, normalize=True), model.encode_text(tokens, normalize=True)
    likeness = seen @ read.T
    if likeness.shape != (1, len(TEXTS)) or not torch.isfinite(likeness).all():
        raise Failure(found=f"similarities {likeness.tolist()}", expected="one finite number for each text")
    if torch.allclose(read[0], read[1]):
        raise Failure(found="two texts have one embedding", expected="two", because="the tokenizer gives equal tokens")
    return {"open_clip": open_clip.__version__, "tokens": int((tokens != 0).sum()), "dimensions": seen.shape[1]}


CHECK = Check(
    "open-clip",
    "cpu",
    run,
    covers=("open-clip-torch", "timm", "torch", "torchvision", "ftfy", "regex", "numpy", "pillow"),
    applies=lambda image: image.has("open-clip-torch") and image.real_torch,
    limit=120,
)
