"""Cells for people, for scripts, for GitHub's `strategy.matrix` and for `docker buildx bake`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from imagekit.cells.expand import arguments
from imagekit.cells.judged import Judged


def table(found: Sequence[Judged]) -> list[str]:
    """A line for each image, then each that cannot be had with its reasons."""
    rows = [("profile", "torch", "CUDA", "Python", "system", "tag")]
    for one in found:
        if one.resolution:
            r = one.resolution
            rows.append((r.profile, r.torch, r.cuda or "none", r.python, r.os, one.tag))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for one in found:
        if one.why_not:
            lines += ["", f"not {one.name}", *(f"    {line}".rstrip() for line in one.why_not)]
    return lines


def as_json(found: Sequence[Judged]) -> str:
    return json.dumps([_row(one) for one in found], indent=1)


def _row(one: Judged) -> dict[str, Any]:
    r = one.resolution
    told = {"arguments": list(arguments(one.cell)), "tag": one.tag, "why_not": list(one.why_not)}
    if r is None:
        return told
    return {**told, "profile": r.profile, "torch": r.torch, "cuda": r.cuda, "python": r.python, "os": r.os}


def images(found: Sequence[Judged], push: str) -> list[str]:
    """Where each image is pushed to, by its profile tag. `push`: registry.push of the site."""
    return [f"{push}/{one.tag}" for one in found if one.tag]


def github(found: Sequence[Judged]) -> str:
    """For `strategy: {matrix: ${{ fromJSON(...) }}}`; on one line, as $GITHUB_OUTPUT wants it."""
    include = [
        {"name": one.tag.rpartition(":")[2], "tag": one.tag, "arguments": shlex.join(arguments(one.cell))}
        for one in found
        if one.tag
    ]
    return json.dumps({"include": include})


def target(one: Judged) -> str:
    """A name that bake takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", one.tag.rpartition(":")[2])


def bake(found: Sequence[Judged], contexts: str) -> str:
    """docker-bake.json. `contexts`: the folder that has a rendered context for each target, under its name."""
    images = [one for one in found if one.tag]
    targets = {
        target(one): {
            "context": f"{contexts}/{target(one)}", "tags": [one.tag], "secret": ["type=file,id=ca,src=${CA}"],
        }
        for one in images
    }  # fmt: skip
    return json.dumps({
        "variable": {"CA": {"default": "/etc/ssl/certs/ca-certificates.crt"}},
        "group": {"default": {"targets": [target(one) for one in images]}}, "target": targets,
    }, indent=1)  # fmt: skip
