"""An image base in a registry: locked by digest, built from that digest whatever the tag does, found again or refused."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import registries
from rooms import Room, docker

from imagekit.lock.model import Lock

PORT = 5917


@dataclass
class Registry:
    name: str
    """Of the base: host:port/repository:tag."""
    serving: contextlib.ExitStack

    def push(self, *lines: str) -> str:
        """Make an image of Dockerfile lines the one that the tag names; its digest. No image stays in the engine."""
        text = "\n".join(["FROM imagekit/base:bookworm", *lines, ""])
        call = ["docker", "buildx", "build", "-q", "--load", "-t", self.name, "-"]
        subprocess.run(call, input=text.encode(), check=True, capture_output=True)
        docker("push", "-q", self.name)
        digest = docker("inspect", "-f", "{{index .RepoDigests 0}}", self.name).partition("@")[2]
        docker("rmi", self.name)
        return digest

    def stop(self) -> None:
        self.serving.close()


@pytest.fixture
def registry(engine: object, built: object, tmp_path: Path) -> Iterator[Registry]:
    serving = contextlib.ExitStack()
    serving.enter_context(registries.served(tmp_path / "registry", PORT))
    made = Registry(f"127.0.0.1:{PORT}/team/base:1", serving)
    try:
        yield made
    finally:
        made.stop()
        call = ["docker", "images", "-q", "--filter", f"reference=127.0.0.1:{PORT}/team/*"]
        for image in set(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()):
            subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)


def the_lock(room: Room) -> Lock:
    (path,) = (room.folder / "locks/tiny").glob("*-image*.json")
    return room.lock(str(path.relative_to(room.folder)))


def version(image: str) -> str:
    return docker("run", "--rm", "--network=none", "--entrypoint=", image, "cat", "/etc/version")


def test_a_base_is_locked_by_digest_and_moves_only_when_asked(room: Room, registry: Registry) -> None:
    first = registry.push("RUN echo 1 >/etc/version")
    done = room.good("build", "tiny", "--base", f"image:{registry.name}")
    assert f"pulling {registry.name}" in done.stderr
    assert the_lock(room).resolution.base.digest == first
    assert version(done.stdout.strip()) == "1"
    context = room.good("render", "tiny", "--base", f"image:{registry.name}", "--locked").stdout
    assert f"ARG BASE={registry.name}@{first}" in context

    second = registry.push("RUN echo 2 >/etc/version")
    again = room.good("build", "tiny", "--base", f"image:{registry.name}", "--locked")
    assert again.stdout == done.stdout, "the tag moved, the digest did not"
    moved = room.good("build", "tiny", "--base", f"image:{registry.name}", "--upgrade")
    assert the_lock(room).resolution.base.digest == second != first
    assert version(moved.stdout.strip()) == "2"


def test_a_digest_can_be_asked_for(room: Room, registry: Registry) -> None:
    digest = registry.push("RUN echo 1 >/etc/version")
    registry.push("RUN echo 2 >/etc/version")
    done = room.good("build", "tiny", "--base", f"image:{registry.name}@{digest}")
    assert version(done.stdout.strip()) == "1" and the_lock(room).resolution.base.digest == digest


def test_a_registry_that_is_gone(room: Room, registry: Registry) -> None:
    registry.push("RUN echo 1 >/etc/version")
    room.good("lock", "tiny", "--base", f"image:{registry.name}")
    docker("rmi", registry.name)
    registry.stop()
    done = room.run("build", "tiny", "--base", f"image:{registry.name}", "--locked")
    assert done.returncode == 4 and "is not here and cannot be pulled" in done.stderr
    assert "Traceback" not in done.stderr
