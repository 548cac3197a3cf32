"""Samples per second that a DataLoader hands over, by its workers, and how long a training step waits for them."""

from __future__ import annotations

import io
import time
from importlib.util import find_spec
from typing import Any

from ..bench import Bench, Outcome, Setting
from ..measure import Metric, rate

BATCH, SIDE = 32, 224


def run(setting: Setting) -> Outcome:
    import torch

    samples = 96 if setting.quick else 1024
    metrics, data = list[Metric](), _data(torch, samples)
    counts = [count for count in (0, 1, 2, 4, 8, 16, 32) if count <= setting.cores]
    for device in setting.devices:
        for workers in counts[:3] if setting.quick else counts:
            for pinned in (False, True) if device == "cuda" else (False,):
                loader = torch.utils.data.DataLoader(
                    data, BATCH, num_workers=workers, pin_memory=pinned, persistent_workers=workers > 0
                )
                name = f"{device} {workers} workers{' pinned' if pinned else ''}"
                metrics.append(rate(name, "samples/s", samples, _epochs(loader, device, setting.repeats(5, 2))))
        # asked of the last loader, which has the most workers
        metrics.append(_waiting(torch, loader, device, setting.repeats(3, 1)))
    notes = {"sample": "JPEG, decoded and scaled" if find_spec("PIL") else "tensor", "side": SIDE, "batch": BATCH}
    return Outcome(metrics, {**notes, "samples": samples})


def _data(torch: Any, samples: int) -> Any:
    """The same picture again and again: a decoder does not know."""
    file = b""
    if find_spec("PIL"):
        from PIL import Image

        held = io.BytesIO()
        noise = Image.effect_noise((500, 375), 60)
        Image.merge("RGB", (noise, noise, noise)).save(held, "JPEG", quality=90)
        file = held.getvalue()

    class Pictures(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return samples

        def __getitem__(self, index: int) -> tuple[Any, int]:
            if not file:
                return torch.full((3, SIDE, SIDE), index % 7, dtype=torch.uint8).float() / 255, index % 10
            from PIL import Image

            picture = Image.open(io.BytesIO(file)).resize((SIDE, SIDE))
            values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
            return values.reshape(SIDE, SIDE, 3).permute(2, 0, 1).float() / 255, index % 10

    return Pictures()


def _epochs(loader: Any, device: str, repeats: int) -> list[float]:
    """The first one starts the workers and is not counted."""
    taken = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        for pictures, _classes in loader:
            moved = pictures.to(device, non_blocking=True)
        if device == "cuda":
            moved[0, 0, 0, 0].item()
        taken.append(time.perf_counter() - started)
    return taken[1:]


def _waiting(torch: Any, loader: Any, device: str, repeats: int) -> Metric:
    """The share of an epoch in which a small network had nothing to do, with this loader."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 7, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    ).to(device)  # fmt: skip
    optimiser, shares = torch.optim.SGD(network.parameters(), lr=0.01), list[float]()
    for _ in range(repeats):
        waited, began = 0.0, time.perf_counter()
        batches, asked = iter(loader), time.perf_counter()
        for pictures, classes in batches:
            waited += time.perf_counter() - asked
            loss = torch.nn.functional.cross_entropy(network(pictures.to(device)), classes.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if loss.item() != loss.item():
                raise RuntimeError("the loss is not a number")
            asked = time.perf_counter()
        shares.append(100 * waited / (time.perf_counter() - began))
    return Metric(f"{device} step waits for {loader.num_workers} workers", "%", "lower", tuple(shares))


BENCH = Bench(
    "loader", run, "samples/s of a DataLoader by workers and pinning; the share of a step that waits for data"
)
