"""How long a job waits before its first step: imports in a fresh process, and torch.compile with empty caches."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from ..bench import Bench, Outcome, Setting, Skip
from ..measure import Metric, duration, waiting_for

PROGRAMS = {
    "torch": "import torch",
    "torchvision": "import torch, torchvision",
    "transformers": "import torch; from transformers import LlamaForCausalLM",
}
"""What a program imports; transformers is lazy, so that only a class of it tells."""

TIMED = "import time; started = time.perf_counter(); {}; print(time.perf_counter() - started)"


def run(setting: Setting) -> Outcome:
    devices = setting.devices  # before anything is measured: without its device nothing is
    metrics = [_imported(name, setting.repeats(6, 1)) for name in PROGRAMS if find_spec(name)]
    notes: dict[str, Any] = {}
    for device in devices:
        reason = cannot_compile(device)
        if reason:
            notes[f"{device} compile"] = reason
            continue
        seconds, breaks = _compiled(device)
        metrics.append(duration(f"{device} first compiled call", [seconds]))
        notes[f"{device} graph breaks"] = breaks
    return Outcome(metrics, notes)


def _imported(name: str, repeats: int) -> Metric:
    """Seconds of `import`, without the start of Python. The first one, which reads from the disk, is not counted where
    there are others."""
    command, taken = [sys.executable, "-c", TIMED.format(PROGRAMS[name])], []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Skip(f"import of {name}: {(done.stderr.strip().splitlines() or ['it died'])[-1]}")
        taken.append(float(done.stdout.split()[-1]))
    return duration(f"import {name}", taken[1:] or taken)


def cannot_compile(device: str) -> str:
    import torch

    if not hasattr(torch, "compile"):
        return f"torch {torch.__version__} has no torch.compile"
    if not (shutil.which("g++") or shutil.which("gcc")):
        return "no C compiler in this image (the feature compile brings one)"
    if device == "cuda" and torch.cuda.get_device_capability(0)[0] < 7:
        return "Triton starts with compute capability 7.0"
    return ""


def _compiled(device: str) -> tuple[float, int]:
    """Seconds of the first call, compiling included, and how often the compiler gave up and went back to Python."""
    import torch
    from torch._dynamo.utils import counters

    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.LayerNorm(64)).to(device)
    inputs = torch.randn(16, 64, device=device)
    started = time.perf_counter()
    torch.compile(network)(inputs).sum().backward()
    waiting_for(device)()
    return time.perf_counter() - started, sum(counters["graph_break"].values())


BENCH = Bench("start", run, "imports in a fresh process; the first call of a compiled model, with empty caches")
