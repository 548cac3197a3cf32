"""InfiniBand or RoCE, where the site's fleet says that machines like this one have it.

Without devices NCCL takes TCP in silence. Ports are read from /sys/class/infiniband, as ibstat reads them.
nvidia_peermem lets a card read a GPU's memory; DMA-BUF does the same with the open kernel module and Linux 5.12
(https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-operator-rdma.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagekit.compat import facts
from imagekit.doctor import nvidia
from imagekit.doctor.check import Finding, version
from imagekit.doctor.host import Host

DEVICES, CLASS = "/dev/infiniband", "/sys/class/infiniband"
DMA_BUF = (5, 12)
"""First kernel."""


def check(host: Host) -> Iterator[Finding]:
    pools = [name for name, pool in host.site.settings.fleet.items() if pool.rdma]
    if not pools:
        yield Finding("rdma", "SKIP", "no pool of the site's fleet has rdma")
        return
    mine = _mine(host, pools)
    if not mine:
        yield Finding("rdma", "SKIP", f"this machine is of no pool with rdma ({', '.join(pools)})")
        return
    yield _ports(host, mine)
    yield _peer_memory(host)


def _mine(host: Host, pools: list[str]) -> str:
    """The pool with rdma whose GPU is here; a part of a name is no match."""
    known = facts.load()
    here = {gpu.name for gpu in nvidia.gpus(host)}
    models = {found.name for name in here if (found := known.gpu(name))} | here
    for name in pools:
        wanted = host.site.settings.fleet[name].gpu
        found = known.gpu(wanted)
        if wanted in models or (found and found.name in models):
            return name
    return ""


def _ports(host: Host, pool: str) -> Finding:
    if not any(name.startswith("uverbs") for name in host.names(DEVICES)):
        return Finding(
            "rdma", "FAIL", f"pool {pool} has rdma, and {DEVICES} has no device: NCCL takes TCP, and says nothing",
            "modprobe -a ib_uverbs mlx5_ib, with rdma-core or the card's own driver installed; in a container: "
            f"--device {DEVICES}", {"pool": pool},
        )  # fmt: skip
    ports = [(f"{card}/{port}", f"{CLASS}/{card}/ports/{port}") for card in host.names(CLASS)
             for port in host.names(f"{CLASS}/{card}/ports")]  # fmt: skip
    states = {name: _word(host.read(f"{path}/state")) for name, path in ports}
    active = [name for name, state in states.items() if state == "ACTIVE"]
    rates = [host.read(f"{path}/rate").partition(" (")[0].strip() for name, path in ports if name in active]
    layers = {host.read(f"{path}/link_layer").strip() for name, path in ports if name in active}
    figures = {"pool": pool, "ports": states, "rates": rates}
    if not active:
        return Finding(
            "rdma", "FAIL", f"no port is active: {', '.join(f'{name} {state}' for name, state in states.items())}",
            "ibstat shows the ports; a cable, a switch port, or for InfiniBand a subnet manager is missing", figures,
        )  # fmt: skip
    down = f", {len(states) - len(active)} not" if len(states) > len(active) else ""
    rate = ", ".join(f"{rates.count(rate)} x {rate}" for rate in dict.fromkeys(rates))
    return Finding("rdma", "OK", f"{len(active)} ports active{down}: {rate} ({', '.join(sorted(layers))})", "", figures)


def _peer_memory(host: Host) -> Finding:
    loaded = [name for name in ("nvidia_peermem", "nv_peer_mem") if host.names(f"/sys/module/{name}")]
    if loaded:
        return Finding("peermem", "OK", f"{loaded[0]} is loaded", "", {"module": loaded[0]})
    kernel = host.read("/proc/sys/kernel/osrelease").strip()
    if nvidia.open_module(host) and version(re.sub(r"[^\d.].*", "", kernel)) >= DMA_BUF:
        said = f"nvidia_peermem is not loaded, and not needed: open kernel module and Linux {kernel}, so DMA-BUF"
        return Finding("peermem", "OK", said, "", {"module": "", "kernel": kernel})
    remedy = (
        "sudo modprobe nvidia-peermem\n"
        "for every start: echo nvidia-peermem | sudo tee /etc/modules-load.d/nvidia-peermem.conf"
    )
    said = "nvidia_peermem is not loaded: cards copy through the host's memory"
    return Finding("peermem", "WARN", said, remedy, {"module": "", "kernel": kernel})


def _word(state: str) -> str:
    """ "4: ACTIVE" is ACTIVE."""
    return state.partition(":")[2].strip() or state.strip() or "unknown"
