"""Without the verbs libraries NCCL falls back to TCP in silence: a run over many nodes at a tenth of its speed."""

from __future__ import annotations

import ctypes
from pathlib import Path

from ..check import Check, Failure, Figures, Image

NEEDED = ("libibverbs.so.1", "librdmacm.so.1")


def run(image: Image) -> Figures:
    for library in NEEDED:
        _load(library)
    providers = sorted(Path("/").glob("usr/lib/*/libibverbs/*.so"))
    if not providers:
        _fail("no provider in /usr/lib/*/libibverbs")
    for provider in providers:
        _load(str(provider))
    verbs = ctypes.CDLL("libibverbs.so.1")
    verbs.ibv_get_device_list.restype = ctypes.c_void_p
    count = ctypes.c_int(0)
    verbs.ibv_get_device_list(ctypes.byref(count))
    return {"providers": len(providers), "devices_here": count.value}


def _load(library: str) -> None:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        _fail(str(error))


def _fail(found: str) -> None:
    raise Failure(
        found=found,
        expected="libibverbs, librdmacm and their providers load",
        because="the feature rdma installs libibverbs1, ibverbs-providers and librdmacm1; one of them is gone",
        fix="do not remove them in a derived image",
        on_gpu="NCCL INFO NET/IB : No device found, then sockets",
    )


CHECK = Check("rdma", "static", run, applies=lambda image: "rdma" in image.features)
