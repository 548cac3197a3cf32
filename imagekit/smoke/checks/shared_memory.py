"""DataLoader workers hand their batches over through /dev/shm: without it "Bus error" kills them in the first
epoch."""

from __future__ import annotations

import os
import tempfile

from ..check import Check, Failure, Figures, Image, Skip

ENOUGH_MB = 16


def run(image: Image) -> Figures:
    space = os.statvfs("/dev/shm")
    megabytes = space.f_bavail * space.f_frsize // 2**20
    if megabytes < ENOUGH_MB:
        raise Skip(f"this container has {megabytes} MB of /dev/shm; start it with --shm-size")
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            os.posix_fallocate(file.fileno(), 0, ENOUGH_MB * 2**20)
    except OSError as error:
        raise Failure(
            found=f"/dev/shm: {error.strerror}",
            expected="this user can write there",
            because="the image's /dev/shm has other rights than 1777",
            fix="do not touch /dev/shm in the image",
        ) from error
    return {"free_mb": megabytes}


CHECK = Check("shared-memory", "cpu", run)
