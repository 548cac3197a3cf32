"""A service that runs as root: whoever breaks out of it owns the node, and clusters that forbid root refuse the
pod."""

from __future__ import annotations

import os

from ..check import Check, Failure, Figures, Image

ROOT = ("", "0", "root")


def run(image: Image) -> Figures:
    declared = image.facts.get("user") or ""
    configured = os.environ.get("IMAGEKIT_IMAGE_USER")
    user = declared if configured is None else configured
    if user.split(":")[0] in ROOT:
        raise Failure(
            found=f"the image's user is {user or 'not set, which is root'}",
            expected=declared or "1000:0",
            because="the last USER line of the image",
            fix=f"end the Dockerfile with USER {declared or '1000:0'}",
        )
    if configured is None and os.getuid() == 0:
        raise Failure(found="uid 0 here, and nobody said what the image's user is", expected=declared or "1000:0")
    return {"user": user, "uid_here": os.getuid(), "gid_here": os.getgid()}


CHECK = Check("user", "static", run, needs=("lock",))
