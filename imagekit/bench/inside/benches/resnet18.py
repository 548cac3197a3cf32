"""Training of ResNet-18 on pictures of CIFAR-10's shape: convolutions, and nothing else that is slow."""

from __future__ import annotations

import ctypes
import statistics
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from ..bench import Bench, Outcome, Setting
from ..measure import Metric, rate, seconds, waiting_for
from . import start

BATCH, CLASSES, EPOCH = 128, 10, 50_000


def run(setting: Setting) -> Outcome:
    metrics, notes = list[Metric](), dict[str, Any]({"batch": BATCH, "network": _origin()})
    for device in setting.devices:
        for way in ("eager",) if device == "cpu" else ("eager", "compiled"):
            reason = start.cannot_compile(device) if way == "compiled" else ""
            if reason:
                notes[f"{device} {way}"] = reason
                continue
            with _Utilisation(device) as busy:
                taken = _steps(setting, device, way)
            speed = rate(f"{device} {way} training", "images/s", BATCH, taken)
            # computed from the same steps, so that the two always agree: images/s x epoch = 50,000
            epoch = Metric(f"{device} {way} epoch", "s", "lower", tuple(EPOCH / one for one in speed.samples))
            metrics += [speed, epoch]
            if busy.percent:
                metrics.append(Metric(f"{device} {way} utilisation", "%", "higher", (statistics.median(busy.percent),)))
    return Outcome(metrics, notes)


def _steps(setting: Setting, device: str, way: str) -> list[float]:
    import torch

    torch.manual_seed(0)
    network = build().to(device).train()
    body = torch.compile(network) if way == "compiled" else network
    step = step_of(body, network, BATCH, device)
    repeats = setting.repeats(5, 2) if device == "cpu" else setting.repeats(50, 10)
    return seconds(step, repeats, warm_up=1 if device == "cpu" else 5, wait=waiting_for(device))


def step_of(body: Any, network: Any, batch: int, device: str, side: int = 32) -> Callable[[], None]:
    """One step of SGD on random pictures that are already on the device."""
    import torch

    pictures = torch.randn(batch, 3, side, side, device=device)
    classes = torch.randint(0, CLASSES, (batch,), device=device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(body(pictures), classes)
        if loss.device.type != device:
            raise RuntimeError(f"the loss is on {loss.device}, not on {device}")
        loss.backward()
        optimiser.step()

    return step


def _origin() -> str:
    return "torchvision" if find_spec("torchvision") else "own"


def build() -> Any:
    """With the stem for small pictures: a 3 x 3 convolution and no pooling."""
    import torch

    if _origin() == "own":
        return _own()
    import torchvision

    network = torchvision.models.resnet18(num_classes=CLASSES)
    network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = torch.nn.Identity()
    return network


def _own() -> Any:
    """The same layers, for an image without torchvision."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
                nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
            )  # fmt: skip
            short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.short = short if stride != 1 or before != after else nn.Identity()

        def forward(self, values: Any) -> Any:
            return torch.relu(self.body(values) + self.short(values))

    blocks, before = list[Any](), 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(before, width, stride), Block(width, width, 1)]
        before = width
    stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


class _Utilisation:
    """Percent of the time in which the first GPU did anything, asked of NVML ten times a second; empty if not told."""

    def __init__(self, device: str) -> None:
        self.percent = list[int]()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True) if device == "cuda" else None

    def __enter__(self) -> _Utilisation:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        try:
            nvml, handle = _nvml_device()
        except (OSError, AttributeError):
            return
        rates = (ctypes.c_uint * 2)()  # nvmlUtilization_t: gpu, memory
        while not self._done.wait(0.1):
            if nvml.nvmlDeviceGetUtilizationRates(handle, rates) == 0:
                self.percent.append(rates[0])


def _nvml_device() -> tuple[Any, ctypes.c_void_p]:
    """NVML's handle of the GPU that CUDA calls 0: NVML does not know CUDA_VISIBLE_DEVICES, the bus tells."""
    cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
    bus, device, handle = ctypes.create_string_buffer(64), ctypes.c_int(), ctypes.c_void_p()
    code = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
    code = code or cuda.cuDeviceGetPCIBusId(bus, len(bus), device)
    code = code or nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle))
    if code:
        raise OSError(code, "NVML does not know this GPU")
    return nvml, handle


BENCH = Bench(
    "resnet18", run, "training steps of ResNet-18 on 3 x 32 x 32 pictures, batch 128: eager, and compiled on GPUs"
)
