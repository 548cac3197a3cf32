"""A node of eight GPUs that trains like one: NCCL that hangs, sums wrongly or goes through the network card, and ranks
that share a device."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import gpu, ranks
from ..check import Check, Failure, Figures, Image
from . import distributed

LARGE = 1 << 26
"""float32 values, 256 MB: from there on bandwidth no longer grows."""

LOG = "nccl-of-%p.log"
TOLD = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET"}
NETWORK = re.compile(r"NCCL INFO Using (?:internal )?[Nn]etwork (\S+)")


def run(image: Image) -> Figures:
    count = len(gpu.here().names)
    told = {**TOLD, "NCCL_DEBUG_FILE": str(Path(LOG).absolute())}
    said = ranks.run(_sum, count, "nccl", told)
    logs = [log.read_text(encoding="utf-8", errors="replace") for log in Path().glob(LOG.replace("%p", "*"))]
    figures = {"ranks": count, "gpus": [one["device"] for one in said], "nccl": said[0]["nccl"]}
    return {**figures, **distributed.worst(said), **network(image, logs)}


def _sum(device: str, rank: int, count: int) -> Figures:
    import torch

    figures = distributed.all_reduce(device, rank, count, LARGE)
    version = getattr(torch.cuda, "nccl", None)
    return {**figures, "nccl": str(version.version()) if version else "not told"}


def network(image: Image, logs: Iterable[str]) -> Figures:
    """What NCCL says of the network that it would take between nodes, held against the adapters of this one."""
    text = "\n".join(logs)
    taken = sorted(set(NETWORK.findall(text)))
    figures: Figures = {"network": taken or "not told", "active_adapters": (adapters := active())}
    if "rdma" in image.features and adapters and not os.environ.get("NCCL_IB_DISABLE") and taken == ["Socket"]:
        raise Failure(
            found="NCCL takes TCP",
            expected=f"RDMA by {', '.join(adapters)}",
            because="the adapter's device files are there and cannot be used: locked memory (ulimit -l), their rights",
            fix="start the container with --ulimit memlock=-1 and /dev/infiniband, as the device plugin does",
        )
    return figures


def active(root: Path = Path("/")) -> list[str]:
    """Adapters that NCCL could take: an active port of InfiniBand or Ethernet, and a device file in this container.
    (AWS's EFA says neither; NCCL needs a plugin for it.)"""
    if not list(root.glob("dev/infiniband/uverbs*")):
        return []
    found = []
    for port in sorted(root.glob("sys/class/infiniband/*/ports/*")):
        state, layer = (port / name for name in ("state", "link_layer"))
        if (
            state.is_file()
            and "ACTIVE" in state.read_text()
            and layer.read_text().strip() in ("InfiniBand", "Ethernet")
        ):
            found.append(f"{port.parent.parent.name}:{port.name}")
    return found


def ddp(image: Image) -> Figures:
    return _trained(distributed.data_parallel)


def fsdp(image: Image) -> Figures:
    return _trained(sharded)


def _trained(job: Any) -> Figures:
    said = ranks.run(job, len(gpu.here().names), "nccl")
    return {"ranks": len(said), "gpus": [one["device"] for one in said], **distributed.worst(said)}


def sharded(device: str, rank: int, count: int) -> Figures:
    """One step of FSDP: each rank holds a share of the weights, and all of them together what one process would."""
    import torch
    from torch.distributed import fsdp

    from . import training

    if not hasattr(fsdp, "FullyShardedDataParallel"):
        return _sharded_anew(device, rank, count)
    network = training.model().to(device)
    full = sum(weight.numel() for weight in network.parameters())
    shards = fsdp.FullyShardedDataParallel(network, device_id=torch.device(device))
    held = sum(weight.numel() for weight in shards.parameters())
    _shared(held, full, count)
    loss = distributed.one_step(torch, shards, device, rank, count)
    with fsdp.FullyShardedDataParallel.summon_full_params(shards):
        off = distributed.compare(torch, list(shards.parameters()), device, count, "FSDP")
    return {"fsdp_loss": loss, "fsdp_off": off}


def _sharded_anew(device: str, rank: int, count: int) -> Figures:
    """The same by fully_shard, should a torch no longer have the class."""
    import torch
    from torch.distributed import fsdp

    from . import training

    network = training.model().to(device)
    full = sum(weight.numel() for weight in network.parameters())
    fsdp.fully_shard(network)
    _shared(sum(weight.to_local().numel() for weight in network.parameters()), full, count)
    loss = distributed.one_step(torch, network, device, rank, count)
    weights = [weight.full_tensor() for weight in network.parameters()]
    return {"fsdp_loss": loss, "fsdp_off": distributed.compare(torch, weights, device, count, "FSDP")}


def _shared(held: int, full: int, count: int) -> None:
    if not held < full:
        raise Failure(found=f"one rank of {count} holds {held} of {full} weights", expected="a share of them")


COVERS = ("torch", "nvidia-nccl-cu11", "nvidia-nccl-cu12", "nvidia-nccl-cu13")

CHECK = Check("multi-gpu-all-reduce", "multi-gpu", run, covers=COVERS, applies=gpu.promised, limit=180)
DDP = Check("multi-gpu-ddp", "multi-gpu", ddp, covers=COVERS, applies=gpu.promised, limit=180)
FSDP = Check("multi-gpu-fsdp", "multi-gpu", fsdp, covers=COVERS, applies=gpu.promised, limit=180)
