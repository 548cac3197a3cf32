"""timm that lists a thousand models and trains none: torch, torchvision and timm do not fit together."""

from __future__ import annotations

from ..check import Check, Failure, Figures, Image, progress

NAME = "resnet10t"
"""Small (5 million weights), and made of what most of timm's models are made of."""

STEPS, PICTURE, CLASSES = 8, 64, 4


def run(image: Image) -> Figures:
    import timm
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    progress(f"making {NAME}")
    model, losses = timm.create_model(NAME, pretrained=False, num_classes=CLASSES), list[float]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pictures, classes = torch.randn(8, 3, PICTURE, PICTURE), torch.arange(8) % CLASSES
    progress("training")
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(model(pictures), classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if not losses[-1] < losses[0]:
        raise Failure(
            found=f"{NAME}: loss {losses[0]:.4f} -> {losses[-1]:.4f} in {STEPS} steps",
            expected="it goes down on eight pictures that it sees again and again",
        )
    return {"timm": timm.__version__, "first_loss": round(losses[0], 4), "last_loss": round(losses[-1], 4)}


CHECK = Check(
    "timm",
    "cpu",
    run,
    covers=("timm", "torch", "torchvision", "numpy"),
    applies=lambda image: image.has("timm") and image.real_torch,
    limit=120,
)
