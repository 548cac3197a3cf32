"""What an image is made from besides its packages, as one digest: whether results of another image hold for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from imagekit.render import Context

_HOME = "opt/imagekit"
_OURS = (
    f"rootfs/{_HOME}/lock.json", f"rootfs/{_HOME}/constraints.txt", f"rootfs/{_HOME}/smoke/",
    f"files/{_HOME}/checks/",
)  # fmt: skip
_LEFT_OUT = (*_OURS, "wheels/", "sources/", "tools")
"""Packages are the checks' own business, and so is their code: results have keys for both."""


def of(context: Context, base: str, lines: Iterable[str] = ()) -> str:
    """`base`: id of what it stands on; `lines`: of the Dockerfile, where there is one.

    Empty where nothing pins the image: nobody knows what a step of an overlay fetched.
    """
    r = context.plan.lock.resolution
    if r.steps:
        return ""
    files = {path: file for path, file in context.files.items() if not path.startswith(_LEFT_OUT)}
    rows = [(path, hashlib.sha256(file.content).hexdigest(), file.mode, file.link) for path, file in files.items()]
    kept = [line for line in lines if "io.imagekit." not in line]
    return hashlib.sha256(json.dumps([base, sorted(rows), r.env, kept]).encode()).hexdigest()
