"""Every check, in the order of the answer: what builds, what runs on a GPU, what the machine has, what can run."""

from __future__ import annotations

from imagekit.doctor.check import Check
from imagekit.doctor.checks import (
    driver,
    engine,
    gpus,
    indexes,
    nvlink,
    rdma,
    registry,
    runs,
    seccomp,
    system,
    toolkit,
)

CHECKS: dict[str, Check] = {
    "engine": engine.check,
    "seccomp": seccomp.check,
    "index": indexes.check,
    "registry": registry.check,
    "driver": driver.check,
    "gpu": gpus.check,
    "toolkit": toolkit.check,
    "nvlink": nvlink.check,
    "glibc": system.check,
    "rdma": rdma.check,
    "profile": runs.check,
}
"""Subject -> check. The subject names the finding of a check that itself fails."""
