"""The machine itself: C library, shared memory, memory that may be locked."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit import amounts
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

SHM = "/dev/shm"
CONTAINER = 64 << 20
"""Bytes of /dev/shm that docker gives a container where nobody asks for more."""
ENOUGH = 1 << 30


def check(host: Host) -> Iterator[Finding]:
    libc = host.libc()
    said = f"{libc}; images have their own" if libc else "no glibc (musl?); images have their own"
    yield Finding("glibc", "OK", said, "", {"libc": libc})
    yield _shared_memory(host)
    yield _memlock(host)


def _shared_memory(host: Host) -> Finding:
    space = host.space(SHM)
    if space is None:
        return Finding("shm", "WARN", f"there is no {SHM}", f"mount -t tmpfs tmpfs {SHM}")
    figures: dict[str, object] = {"total": space.total, "free": space.free}
    said = f"{amounts.size(space.total)} of {SHM}, {amounts.size(space.free)} free"
    if space.total <= CONTAINER:
        remedy = "docker run --shm-size, as imagekit run sets it; in Kubernetes an emptyDir of medium Memory there"
        return Finding("shm", "WARN", f"{said}: loader workers die of it; this looks like a container", remedy, figures)
    if space.free < ENOUGH:
        remedy = f"ls -la {SHM}: what a killed program left there stays until somebody removes it"
        return Finding("shm", "WARN", f"{said}: too little for loader workers and NCCL", remedy, figures)
    return Finding("shm", "OK", said, "", figures)


def _memlock(host: Host) -> Finding:
    limit = host.memlock()
    shown = "without a limit" if limit < 0 else amounts.size(limit)
    rdma = any(pool.rdma for pool in host.site.settings.fleet.values())
    figures: dict[str, object] = {"memlock": limit}
    if host.engine.rootless:
        said = f"memory that may be locked: {shown}; a rootless engine cannot raise it for a container"
        remedy = "LimitMEMLOCK=infinity in the engine's systemd unit: RDMA pins pages"
        return Finding("memlock", "WARN" if rdma else "OK", said, remedy if rdma else "", figures)
    more = "" if limit < 0 else "; imagekit run raises it for its containers"
    return Finding("memlock", "OK", f"memory that may be locked: {shown}{more}", "", figures)
