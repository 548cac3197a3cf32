"""The other real images: each built from its committed lock, proven, and removed before the next, 6 GB at a time.

IMAGEKIT_KEEP_CACHE_GB, which `make acceptance` sets, trims the engine's build cache after each image.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import docker

from imagekit import resources
from imagekit.engines.docker_api import Engine

pytestmark = [pytest.mark.image, pytest.mark.acceptance]

IMPORTANT = ("versions", "imports", "pip-check", "cuda-libraries", "gpu-architectures", "training", "compile-cpu")

CELLS = {
    "multimodal": (
        "multimodal/2.1.0-cuda12.1-py311",
        ("deepspeed", "deepspeed-jit", "open-clip", "tiny-transformer", "timm"),
    ),
    "vision": ("vision/2.4.1-cuda12.1-py311", ("timm", "pillow-simd", "image-formats")),
    "vision --torch 2.7": ("vision/2.7.1-cuda12.6-py311", ("timm", "pillow-simd", "image-formats")),
    "video-llm --torch 2.9": (
        "video-llm/2.9.1-cuda12.8-py311",
        ("video-llm", "pillow-simd", "read-h264-by-decord", "read-hevc-by-av", "read-vp9-by-av"),
    ),
    # the newest torch of the facts, on Debian 13 with its Python 3.13
    "vision --torch 2.15 --base distro:trixie": (
        "vision/2.15.0-cuda13.2-py313-trixie",
        ("timm", "pillow-simd", "image-formats"),
    ),
}
"""What is built -> its committed lock, and checks that it must pass beside IMPORTANT."""


def images() -> set[str]:
    return set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", "pytorch").splitlines())


@pytest.fixture
def clean(engine: Engine, cell: str) -> Iterator[None]:
    """What a test made is removed: its images, and where a limit is set the build cache above it."""
    before = images()
    yield
    profile, _, stack = CELLS[cell][0].rpartition("-py")[0].partition("/")
    own = re.compile(rf"pytorch:{re.escape(stack)}(-{profile}(-[\w.-]+)?)?")
    new = [name for name in images() - before if own.fullmatch(name)]
    if new:
        docker("rmi", *new)
    keep = os.environ.get("IMAGEKIT_KEEP_CACHE_GB")
    if keep:
        docker("builder", "prune", "--force", "--keep-storage", f"{keep}GB")


def imagekit(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["imagekit", *shlex.split(words)], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("cell", CELLS)
def test_it_builds_from_its_committed_lock_and_is_proven(cell: str, clean: None, tmp_path: Path) -> None:
    lock, own = CELLS[cell]
    assert (resources.profiles() / f"locks/{lock}.json").is_file()
    built = imagekit(f"build {cell} --locked", tmp_path)
    assert built.returncode == 0, built.stderr
    assert f"profiles/locks/{lock}.json, unchanged" in built.stderr and not (tmp_path / "locks").exists()
    assert built.stdout.startswith("sha256:") and len(built.stderr.splitlines()) <= 25
    tag = next(word for word in built.stderr.split() if word.startswith("pytorch:"))
    proven = imagekit(f"test {tag} --json", tmp_path)
    assert proven.returncode == 0, proven.stderr
    statuses = {check["check"]: check["status"] for check in json.loads(proven.stdout)["checks"]}
    for name in (*IMPORTANT, *own):
        assert statuses.get(name) == "PASS", (name, statuses)
