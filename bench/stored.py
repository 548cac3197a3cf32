"""Bytes that a registry keeps of a team's images: composed ones against those of imagekit's Dockerfiles.

Two profiles x two distributions, and so two Pythons, x two versions of torch, and one profile once. A blob counts once,
however many images have it. No times: it may run beside other work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import registries
from composing import run

from imagekit import scratch
from imagekit.oci.image import MANIFEST

CELLS = [
    *([profile, "--torch", torch, "--base", f"distro:{suite}"]
      for profile in ("video-llm", "vision") for suite in ("bookworm", "trixie") for torch in ("2.6.0", "2.9.1")),
    ["multimodal"],
]  # fmt: skip
REPOSITORY, TAG = "pytorch", "cell"


def stored(folder: Path) -> list[str]:
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    sums = {}
    for name, push in (("Dockerfile", _by_engine), ("compose", _composed)):
        blobs: dict[str, int] = {}
        apart = 0
        for number, cell in enumerate(CELLS):
            # a registry each, as nine images of an engine are too much for most disks
            place = folder / f"{name}-{number}"
            with registries.served(place) as host:
                push(cell, host)
                own = _blobs(host)
            shutil.rmtree(place)
            blobs |= own
            apart += sum(own.values())
            print(f"{name} {' '.join(cell)}: {sum(own.values()) / 1e9:.2f} GB", file=sys.stderr, flush=True)
        shutil.rmtree(scratch.cache() / "layers", ignore_errors=True)
        sums[name] = sum(blobs.values()), apart
    rows = [
        f"| {len(CELLS)} images in one registry | Dockerfile | compose | compose of Dockerfile |",
        "|---|---|---|---|",
    ]
    for title, theirs, ours in zip(("bytes", "were nothing shared"), *sums.values(), strict=True):
        rows.append(f"| {title} | {theirs / 1e9:.1f} GB | {ours / 1e9:.1f} GB | {ours / theirs:.2f}x |")
    return rows


def _composed(cell: list[str], host: str) -> None:
    output = f"registry:{host}/{REPOSITORY}:{TAG}"
    run(["imagekit", "build", *cell, "--no-test", "--engine", "compose", "--output", output])


def _by_engine(cell: list[str], host: str) -> None:
    done = subprocess.run(
        ["imagekit", "build", *cell, "--no-test", "--engine", "buildkit"], stdout=subprocess.PIPE, text=True, check=True
    )
    name = f"{host}/{REPOSITORY}:{TAG}"
    run(["docker", "tag", done.stdout.strip(), name])
    run(["docker", "push", "-q", name])
    # for the room: the next one does without what this one left, except for the base
    run(["docker", "rmi", "-f", done.stdout.strip()])
    run(["docker", "builder", "prune", "-af"])


def _blobs(host: str) -> dict[str, int]:
    """Digest -> bytes, the configuration included."""
    asked = urllib.request.Request(
        f"http://{host}/v2/{REPOSITORY}/manifests/{TAG}",
        headers={"Accept": f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"},
    )
    with urllib.request.urlopen(asked, timeout=60) as reply:
        manifest = json.load(reply)
    return {row["digest"]: row["size"] for row in (manifest["config"], *manifest["layers"])}
