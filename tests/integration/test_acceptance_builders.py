"""video-llm by every builder: the same files, to the byte. One image at a time.

Where IMAGEKIT_KEEP_CACHE_GB is set (`make acceptance`), there is no build cache beside it: the classic builder holds
every wheel twice.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import docker, files_of

pytestmark = [pytest.mark.image, pytest.mark.acceptance]

Tree = dict[str, tuple[object, ...]]


def images(environment: dict[str, str] | None) -> set[str]:
    labels = ("io.imagekit.profile=video-llm", "io.imagekit.stage")
    calls = [["images", "-q", "--no-trunc", "--filter", f"label={label}"] for label in labels]
    return {image for call in calls for image in docker(*call, env=environment).split()}


def tree(folder: Path, environment: dict[str, str] | None, *options: str) -> Tree:
    """The files of video-llm as one builder makes it. Nothing of the build stays."""
    before = images(environment)
    call = ["imagekit", "build", "video-llm", "--locked", "--no-test", *options]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stderr
        return files_of(done.stdout.strip(), env=environment)
    finally:
        for image in images(environment) - before:
            subprocess.run(["docker", "rmi", "-f", image], env=environment, capture_output=True, check=False)
        if os.environ.get("IMAGEKIT_KEEP_CACHE_GB"):
            docker("builder", "prune", "-af", env=environment)


@pytest.fixture(scope="module")
def by_buildkit(engine: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    found = tree(tmp_path_factory.mktemp("buildkit"), None)
    assert len(found) > 20_000
    yield found


def differ(one: Tree, other: Tree) -> set[str]:
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def test_the_classic_builder(by_buildkit: Tree, tmp_path: Path) -> None:
    assert differ(tree(tmp_path, None, "--engine", "classic"), by_buildkit) == set()


def test_engine_20_10(by_buildkit: Tree, old_engine: dict[str, str], tmp_path: Path) -> None:
    assert differ(tree(tmp_path, old_engine), by_buildkit) == set()
