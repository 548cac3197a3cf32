"""Bytes that a registry keeps of a team's images: composed ones against those of imagekit's Dockerfiles, and against
what uv makes in one layer.

Two profiles x two distributions, and so two Pythons, x two versions of torch, and one profile once. A blob counts once,
however many images have it. No times: it may run beside other work.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import handwritten
import registries
from composing import OURS, UV, Docker, run

from imagekit import scratch
from imagekit.lock.model import read
from imagekit.oci.image import MANIFEST

CELLS = [
    *([profile, "--torch", torch, "--base", f"distro:{suite}"]
      for profile in ("video-llm", "vision") for suite in ("bookworm", "trixie") for torch in ("2.6.0", "2.9.1")),
    ["multimodal"],
]  # fmt: skip
REPOSITORY, TAG = "pytorch", "cell"
DOCKERFILE = "Dockerfile"


Push = Callable[[list[str], str], None]
"""Makes the image of a cell and pushes it to a registry, HOST:PORT."""


def stored(folder: Path, docker: Docker) -> list[str]:
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    uv = functools.partial(_by_hand, folder / "uv", docker)
    sums = {name: kept(folder, name, push) for name, push in ((UV, uv), (DOCKERFILE, _by_engine), (OURS, _composed))}
    rows = [
        f"| {len(CELLS)} images in one registry | {' | '.join(sums)} | {OURS} of {DOCKERFILE} | {OURS} of {UV} |",
        "|---|---|---|---|---|---|",
    ]
    for number, title in enumerate(("bytes", "were nothing shared")):
        found = {name: both[number] for name, both in sums.items()}
        told = " | ".join(f"{value / 1e9:.1f} GB" for value in found.values())
        ratios = " | ".join(f"{found[OURS] / found[name]:.2f}x" for name in (DOCKERFILE, UV))
        rows.append(f"| {title} | {told} | {ratios} |")
    return rows


def kept(folder: Path, name: str, push: Push) -> tuple[int, int]:
    """(bytes of all blobs, each once; bytes of each image by itself)."""
    blobs: dict[str, int] = {}
    apart = 0
    for number, cell in enumerate(CELLS):
        # a registry each, as nine images of an engine are too much for most disks
        place = folder / f"registry-{number}"
        with registries.served(place) as host:
            push(cell, host)
            own = _blobs(host)
        shutil.rmtree(place)
        blobs |= own
        apart += sum(own.values())
        print(f"{name} {' '.join(cell)}: {sum(own.values()) / 1e9:.2f} GB", file=sys.stderr, flush=True)
    shutil.rmtree(scratch.cache() / "layers", ignore_errors=True)
    return sum(blobs.values()), apart


def _by_hand(folder: Path, docker: Docker, cell: list[str], host: str) -> None:
    """All packages in one layer, by uv."""
    locked = subprocess.run(["imagekit", "lock", *cell], stdout=subprocess.PIPE, text=True, check=True)
    lock = read(Path(locked.stdout.strip()))
    run(["imagekit", "base", "bootstrap", "--suite", lock.resolution.base.name])
    handwritten.uv(lock, folder)
    run(docker(folder, "stored"))
    _pushed("imagekit-bench:stored", host)


def _composed(cell: list[str], host: str) -> None:
    output = f"registry:{host}/{REPOSITORY}:{TAG}"
    run(["imagekit", "build", *cell, "--no-test", "--engine", "compose", "--output", output])


def _by_engine(cell: list[str], host: str) -> None:
    done = subprocess.run(
        ["imagekit", "build", *cell, "--no-test", "--engine", "buildkit"], stdout=subprocess.PIPE, text=True, check=True
    )
    _pushed(done.stdout.strip(), host)


def _pushed(image: str, host: str) -> None:
    name = f"{host}/{REPOSITORY}:{TAG}"
    run(["docker", "tag", image, name])
    run(["docker", "push", "-q", name])
    # for the room: the next one does without what this one left, except for the base
    run(["docker", "rmi", "-f", name, image])
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
