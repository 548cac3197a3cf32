"""Processes that compute together, as a launcher starts them, one device each.

They are forks of a check that has torch and no CUDA yet, so that a rank starts in no time. They meet in a file: a
container without a network has no name that resolves, and a port may be taken.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from . import gpu
from .check import Failure, Figures, progress, shorten

Job = Callable[[str, int, int], Figures]
"""From device, rank and number of ranks to figures. Raises Failure."""

PATIENCE = timedelta(seconds=60)


def run(job: Job, count: int, backend: str, environment: Mapping[str, str] | None = None) -> list[Figures]:
    """What each rank returned, with the `device` that it ran on; the first rank that fails ends all."""
    import torch

    if torch.cuda.is_initialized():
        raise RuntimeError("CUDA has been started in this process: its forks cannot use it")
    meeting = Path(f"meeting-of-{job.__name__}").absolute()
    pids = {_start(job, rank, count, backend, meeting, environment or {}): rank for rank in range(count)}
    try:
        while pids:
            pid, status = os.wait()
            rank = pids.pop(pid)
            if status:
                _told(meeting, rank)  # raises with what the rank said
                raise RuntimeError(f"rank {rank} of {count} ended with {os.waitstatus_to_exitcode(status)}")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    said = [_told(meeting, rank) for rank in range(count)]
    devices = [one["device"] for one in said]
    if backend == "nccl" and len(set(devices)) != count:
        raise Failure(found=f"ranks on GPUs {', '.join(devices)}", expected=f"{count} ranks on {count} GPUs")
    return said


def _start(job: Job, rank: int, count: int, backend: str, meeting: Path, environment: Mapping[str, str]) -> int:
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(environment)
        answer = _answer(job, rank, count, backend, meeting)
        _place(meeting, rank).write_text(json.dumps(answer), encoding="utf-8")
        code = 0 if "figures" in answer else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _answer(job: Job, rank: int, count: int, backend: str, meeting: Path) -> dict[str, Any]:
    try:
        return {"figures": _member(job, rank, count, backend, meeting)}
    except Failure as no:
        texts = ("found", "expected", "because", "fix", "on_gpu")
        return {"failure": {**{name: getattr(no, name) for name in texts}, "found": f"rank {rank}: {no.found}"}}
    except BaseException as error:
        traceback.print_exc()
        return {"error": shorten(f"{type(error).__name__}: {error}")}


def _member(job: Job, rank: int, count: int, backend: str, meeting: Path) -> Figures:
    import torch

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    device = "cpu"
    if backend == "nccl":
        device = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    else:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it looks for an address of the container's name
    progress(f"rank {rank} of {count} joins by {backend}")
    store = torch.distributed.FileStore(str(meeting), count)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    progress(f"rank {rank} of {count}: {job.__name__}")
    figures = job(device, rank, count)
    # Nobody leaves while another may still read from its memory. The group is left as it is: in torch 2.4
    # destroy_process_group() of gloo waits for ever in one of fifteen runs, and the process ends in a moment anyway.
    store.set(f"done {rank}", "")
    store.wait([f"done {other}" for other in range(count)], PATIENCE)
    return {**figures, "device": gpu.uuid(rank) if backend == "nccl" else "cpu"}


def _told(meeting: Path, rank: int) -> Figures:
    place = _place(meeting, rank)
    said = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    if "failure" in said:
        raise Failure(**said["failure"])
    if "error" in said:
        raise RuntimeError(f"rank {rank}: {said['error']}")
    return dict(said.get("figures") or {})


def _place(meeting: Path, rank: int) -> Path:
    return meeting.with_name(f"{meeting.name}.{rank}.json")
