"""How fast gradients are summed over the GPUs of a node (NCCL), and over two processes on the CPU (gloo)."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..bench import Bench, Outcome, Setting, Skip
from ..measure import Metric, rate, seconds, waiting_for

PATIENCE = timedelta(seconds=120)
SIZES_MB = {"cpu": (1, 16), "cuda": (1, 16, 256)}


def run(setting: Setting) -> Outcome:
    metrics, notes = list[Metric](), dict[str, Any]()
    for device in setting.devices:
        count = 2 if device == "cpu" else len(setting.gpus)
        if count < 2:
            notes[device] = "one GPU here, this takes two"
            continue
        for size, taken in _together(device, count, setting.repeats(20, 5)).items():
            # as nccl-tests tells it: what a link carries, whatever the number of ranks
            carried = int(size) * 2**20 / 1e9 * 2 * (count - 1) / count
            metrics.append(rate(f"{device} {size} MB over {count}", "GB/s of bus", carried, taken))
    if not metrics:
        raise Skip("; ".join(notes.values()))
    return Outcome(metrics, {**notes, "backend": {"cpu": "gloo", "cuda": "nccl"}})


def _together(device: str, count: int, repeats: int) -> dict[str, list[float]]:
    """Seconds by size, as the first rank measured them. Ranks are forks: this process has not started CUDA."""
    sys.stderr.flush()
    answer, pids = Path(f"{device}.json").absolute(), dict[int, int]()
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _member(device, rank, count, repeats, answer)
                code = 0
            except BaseException as error:
                traceback.print_exc()
                _last_words(answer, rank).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids[pid] = rank
    try:
        while pids:
            pid, status = os.wait()
            rank = pids.pop(pid)
            if status:
                said = _last_words(answer, rank)
                ended = said.read_text(encoding="utf-8") if said.is_file() else os.waitstatus_to_exitcode(status)
                raise RuntimeError(f"rank {rank} of {count} on {device} ended with {ended}")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return dict(json.loads(answer.read_text(encoding="utf-8")))


def _last_words(answer: Path, rank: int) -> Path:
    return answer.with_suffix(f".{rank}.error")


def _member(device: str, rank: int, count: int, repeats: int, answer: Path) -> None:
    import torch

    here = device
    if device == "cuda":
        torch.cuda.set_device(rank)
        here = f"cuda:{rank}"
    else:
        torch.set_num_threads(1)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it looks for an address of the container's name
    store = torch.distributed.FileStore(f"{answer}.meeting", count)
    backend = "gloo" if device == "cpu" else "nccl"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    taken: dict[int, list[float]] = {}
    for size in SIZES_MB[device]:
        values = torch.ones(size * 2**18, device=here)
        torch.distributed.all_reduce(values)
        if values[-1].item() != count or values.device.type != device:
            raise RuntimeError(f"ones over {count} ranks sum to {values[-1].item()} on {values.device}")
        values.zero_()
        body = lambda: torch.distributed.all_reduce(values)  # noqa: B023, E731
        taken[size] = seconds(body, repeats, warm_up=3, wait=waiting_for(device))
    if rank == 0:
        answer.write_text(json.dumps(taken), encoding="utf-8")
    # nobody leaves while another may still read from its memory
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(count)], PATIENCE)


BENCH = Bench("all-reduce", run, "bus bandwidth of sums over all GPUs (NCCL), and over two processes on the CPU (gloo)")
