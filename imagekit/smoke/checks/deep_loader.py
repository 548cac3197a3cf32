"""A data loader that leaks: a run over days ends with its workers killed for memory, or with "Too many open files",
and no test of a minute shows it."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..check import Check, Failure, Figures, Image, installed, progress

WORKERS, SAMPLES, BATCH = 2, 4000, 8
EPOCHS, SECONDS = 40, 60.0
"""It ends with whichever comes first, but not before ENOUGH epochs."""

WARM, ENOUGH = 3, 16
"""Epochs after which memory is as large as it gets, and the fewest that say something."""

GROWTH_MB, GROWTH_FILES, GROWTH_SHM_MB = 24, 8, 16
"""What allocators and the batches under way may take. 1 KB per sample that is kept is 2 MB per epoch in each worker."""


class Samples:
    """A tensor, an array, numbers and text in each: every way by which a batch crosses to the program."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        if not 0 <= index < SAMPLES:
            raise IndexError(index)
        picture = torch.full((3, 64, 64), index % 256, dtype=torch.uint8)
        sample = {"picture": picture, "number": index, "share": index / SAMPLES, "name": f"{index}.jpg"}
        if installed("numpy"):
            sample["array"] = picture[0].numpy().astype("float32")
        return sample


@dataclass(frozen=True)
class Use:
    """What the loader holds at the end of an epoch."""

    memory: dict[int, float]
    """MB of each process's own memory: the workers and the program."""
    files: dict[int, int]
    """Open files of each."""
    shm: float
    """MB of /dev/shm in use."""


def measure(pids: list[int]) -> Use:
    folders = {pid: Path(f"/proc/{pid}") for pid in pids}
    files = {pid: len(list((folder / "fd").iterdir())) for pid, folder in folders.items()}
    held = {pid: memory((folder / "status").read_text(encoding="utf-8")) for pid, folder in folders.items()}
    space = os.statvfs("/dev/shm")
    used = (space.f_blocks - space.f_bfree) * space.f_frsize / 2**20
    return Use(held, files, used)


def memory(status: str) -> float:
    """MB of memory that no file is behind, from /proc/PID/status."""
    rows = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(rows["RssAnon"].split()[0]) / 1024


def growth(before: Use, after: Use) -> list[str]:
    """What grew more than it may."""
    if set(before.memory) != set(after.memory):
        return [f"processes {sorted(before.memory)} became {sorted(after.memory)}"]
    grown = []
    for pid, megabytes in after.memory.items():
        if megabytes - before.memory[pid] > GROWTH_MB:
            grown.append(f"process {pid} has {megabytes:.0f} MB, had {before.memory[pid]:.0f}")
    for pid, count in after.files.items():
        if count - before.files[pid] > GROWTH_FILES:
            grown.append(f"process {pid} has {count} open files, had {before.files[pid]}")
    if after.shm - before.shm > GROWTH_SHM_MB:
        grown.append(f"{after.shm:.0f} MB of /dev/shm in use, were {before.shm:.0f}")
    return grown


def run(image: Image) -> Figures:
    import torch

    torch.set_num_threads(1)
    options: dict[str, Any] = {"persistent_workers": True, "multiprocessing_context": "fork", "timeout": 60}
    loader: Any = torch.utils.data.DataLoader(Samples(), batch_size=BATCH, num_workers=WORKERS, **options)
    started, uses, epochs = time.monotonic(), list[Use](), 0
    while epochs < EPOCHS and (epochs < WARM + ENOUGH or time.monotonic() - started < SECONDS):
        progress(f"epoch {epochs}")
        seen, total = 0, 0
        for batch in loader:
            seen += len(batch["name"])
            total += int(batch["number"].sum())
        if (seen, total) != (SAMPLES, SAMPLES * (SAMPLES - 1) // 2):
            raise Failure(found=f"{seen} samples in epoch {epochs}", expected=f"each of {SAMPLES} once")
        del batch
        epochs += 1
        uses.append(measure([os.getpid(), *_workers()]))
    before, after = uses[WARM - 1], uses[-1]
    if grown := growth(before, after):
        raise Failure(
            found="; ".join(grown),
            expected=f"no growth from epoch {WARM} to epoch {epochs}",
            because="the loader, the shared memory of this torch or an allocator keeps what it should give back",
            fix="report it with the versions of torch and Python; until then persistent_workers=False",
        )
    worst = max(after.memory[pid] - before.memory[pid] for pid in after.memory)
    return {
        "epochs": epochs,
        "batches": epochs * SAMPLES // BATCH,
        "largest_mb": round(max(after.memory.values())),
        "growth_mb": round(worst, 1),
        "open_files": max(after.files.values()),
    }


def _workers() -> list[int]:
    """The children of this process."""
    return sorted(child.pid for child in multiprocessing.active_children() if child.pid)


CHECK = Check("deep-loader", "deep", run, covers=("torch", "numpy"), applies=lambda image: image.real_torch, limit=300)
