"""A data loader that dies, hangs, skips samples or gives every worker the same random numbers: the run stops in its
first epoch, or the model learns from fewer pictures than there are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..check import Check, Failure, Figures, Image, Skip, progress, shorten

SAMPLES, WORKERS = 48, 2
PART_MB, PARTS = 16, 4
"""A large batch: four samples of 16 MB."""

MODULE = "imagekit_samples"
SOURCE = '''
"""What spawned workers import: they see the modules of the program that started them and none of its memory."""

import os
import random

import torch

try:
    import numpy
except ImportError:
    numpy = None


class Samples:
    """Sample number i, who made it, and what its augmentation would draw."""

    def __init__(self, count, elements):
        self.count, self.elements = count, elements

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        content = torch.full((self.elements,), index + 1, dtype=torch.int32)
        drawn = [torch.rand((), dtype=torch.float64).item(), random.random()]
        if numpy is not None:
            drawn.append(float(numpy.random.random()))
        return index, content, os.getpid(), torch.tensor(drawn, dtype=torch.float64)


def seed_numpy(worker):
    """What training programs pass as worker_init_fn."""
    if numpy is not None:
        numpy.random.seed(torch.initial_seed() % 2**32)
'''
KINDS = ("torch", "random", "numpy")


def run(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    Path(f"{MODULE}.py").write_text(SOURCE, encoding="utf-8")
    sys.path.insert(0, str(Path.cwd()))
    samples = __import__(MODULE)
    try:
        return _load(samples)
    except (RuntimeError, OSError) as error:  # OSError: not even the queues of the workers have room
        died = death(messages(error), free_mb())
        if died is None:
            raise
        raise died from error


def _load(samples: Any) -> Figures:
    small = samples.Samples(SAMPLES, 64)
    progress("forked workers that stay")
    pids, drawn = _two_epochs(small, "fork", WORKERS, persistent_workers=True)
    if pids[0] != pids[1] or len(pids[0]) != WORKERS:
        raise Failure(
            found=f"workers {sorted(pids[0])} in the first epoch, {sorted(pids[1])} in the second",
            expected=f"the same {WORKERS} processes (persistent_workers=True)",
            because="workers died and were replaced, or the loader ignores the option",
        )
    augmentations(drawn)
    progress("forked workers of one epoch")
    _, drawn = _two_epochs(small, "fork", WORKERS, worker_init_fn=samples.seed_numpy)
    augmentations(drawn)
    progress("a spawned worker")
    pids, _ = _two_epochs(small, "spawn", 1, persistent_workers=True)
    if os.getpid() in pids[0] | pids[1]:
        raise Failure(found="samples were made in the main process", expected="in a spawned worker")
    figures: Figures = {"samples": SAMPLES * 6, "start_methods": ["fork", "spawn"]}
    # One batch is made while the one before is in the program's hands.
    needed, free = 2 * PARTS * PART_MB, free_mb()
    if free < needed:
        raise Skip(
            f"this container has {free} MB of /dev/shm and batches of {PARTS * PART_MB} MB take {needed}; "
            "start it with --shm-size 1g (the parts of this check that take less have passed)"
        )
    progress(f"batches of {PARTS * PART_MB} MB through /dev/shm")
    _epoch(_loader(samples.Samples(2 * PARTS, PART_MB * 2**18), "fork", 1, batch_size=PARTS, prefetch_factor=1))
    return {**figures, "large_batch_mb": PARTS * PART_MB, "shm_free_mb": free}


def _loader(data: Any, method: str, workers: int, **options: Any) -> Any:
    from torch.utils.data import DataLoader

    options = {"batch_size": 4, "timeout": 60, **options}
    return DataLoader(data, num_workers=workers, multiprocessing_context=method, **options)


def _two_epochs(data: Any, method: str, workers: int, **options: Any) -> tuple[list[set[int]], list[list[float]]]:
    loader = _loader(data, method, workers, **options)
    (first, one), (second, two) = _epoch(loader), _epoch(loader)
    return [first, second], one + two


def _epoch(loader: Any) -> tuple[set[int], list[list[float]]]:
    """The workers that made the samples of one epoch, and what they drew. Every sample is looked at."""
    indices, pids, drawn = list[int](), set[int](), list[list[float]]()
    for index, content, pid, draws in loader:
        indices += index.tolist()
        pids |= set(pid.tolist())
        drawn += draws.tolist()
        wrong = [i for row, i in enumerate(index.tolist()) if not bool((content[row] == i + 1).all())]
        if wrong:
            raise Failure(
                found=f"samples {wrong} do not hold what their worker wrote",
                expected="the same bytes on both sides of /dev/shm",
                because="shared memory of this container or this torch",
            )
    if indices != list(range(len(loader.dataset))):
        raise Failure(
            found=f"samples {shorten(str(indices), 160)}",
            expected=f"0 to {len(loader.dataset) - 1}, each once and in order",
            because="the loader loses, repeats or reorders batches of its workers",
        )
    return pids, drawn


def augmentations(drawn: list[list[float]]) -> None:
    """Raises Failure if two samples, of whatever worker and epoch, drew the same number."""
    for place in range(len(drawn[0])):
        values = [row[place] for row in drawn]
        different = len(set(values))
        if different < len(values):
            raise Failure(
                found=f"{different} different numbers of {KINDS[place]} in {len(values)} samples",
                expected="another one for every sample, worker and epoch",
                because="workers start from the same seed: torch's base_seed does not reach them",
                fix="seed in worker_init_fn from torch.initial_seed(), and report the version of torch",
            )


def free_mb() -> int:
    space = os.statvfs("/dev/shm")
    return int(space.f_bavail * space.f_frsize // 2**20)


def messages(error: BaseException | None) -> str:
    """What was said on the way: "worker exited unexpectedly" hides "killed by signal: Bus error"."""
    said = list[str]()
    while error is not None and len(said) < 8:
        said.append(str(error))
        error = error.__cause__ or error.__context__
    return " / ".join(reversed(said))


def death(message: str, free: int) -> Failure | None:
    """What an error of the loader means when it is about shared memory: the kernel kills whoever writes to a
    page that /dev/shm has no room for, newer torch asks for the room first."""
    signs = ("Bus error", "shared memory", "No space left on device")
    if not any(sign in message for sign in signs):
        return None
    return Failure(
        found=f"the DataLoader worker died of too little /dev/shm: {free} MB here",
        expected=f"batches of {PARTS * PART_MB} MB pass through it",
        because=shorten(message, 200),
        fix="docker run --shm-size=1g or --ipc=host; in Kubernetes an emptyDir with medium: Memory at /dev/shm",
    )


CHECK = Check(
    "loader", "cpu", run, covers=("torch", "numpy"), applies=lambda image: image.real_torch, limit=120
)  # fmt: skip
