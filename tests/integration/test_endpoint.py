"""Contexts, DOCKER_HOST and DOCKER_CONTEXT: which engine is meant, said when it is not the usual one, refused in a doubt."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import Room, docker

from imagekit.engines import endpoint
from imagekit.engines.docker_api import Engine

ENGINE = Path(__file__).parents[2] / "scripts/engine"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of docker's own, with a context `other` whose socket is that of nobody."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    docker("context", "create", "other", "--docker", f"host=unix://{tmp_path}/other.sock")
    return folder


@pytest.fixture(scope="module")
def old_socket() -> Iterator[str]:
    """Engine 20.10 beside the usual one."""
    if os.getuid() or "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text():
        pytest.skip("Engine 20.10 is Debian 12's, and only root may start it")
    running = subprocess.run([ENGINE, "status", "bookworm"], capture_output=True, check=False).returncode == 0
    started = subprocess.run([ENGINE, "up", "bookworm"], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    if not running:
        subprocess.run([ENGINE, "down", "bookworm"], capture_output=True, check=True)


def test_nothing_chosen_is_the_usual_socket(engine: Engine, config: Path) -> None:
    assert endpoint.find().usual and str(endpoint.find()) == endpoint.DEFAULT


@pytest.mark.parametrize("way", ["context use", "DOCKER_CONTEXT", "DOCKER_HOST"])
def test_both_follow(engine: Engine, old_socket: str, config: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """docker-py and the docker command reach Engine 20.10 by each way of choosing it."""
    docker("context", "create", "old", "--docker", f"host={old_socket}")
    if way == "context use":
        docker("context", "use", "old")
    else:
        monkeypatch.setenv(way, "old" if way == "DOCKER_CONTEXT" else old_socket)
    found = Engine()
    assert found.version.startswith("20.10.") and docker("version", "-f", "{{.Server.Version}}") == found.version
    assert found.endpoint == f"{old_socket} ({'DOCKER_HOST' if way == 'DOCKER_HOST' else 'context old'})"
    assert found.free_disk() is not None, "its socket is another one, its disk is this one"


def test_the_engine_is_named_in_a_build(old_socket: str, room: Room, config: Path) -> None:
    """One that has no base and no room for one: the line comes before."""
    docker("context", "create", "old", "--docker", f"host={old_socket}")
    room.extra |= {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "old", "PATH": f"{os.environ['PATH']}"}
    path, _ = room.profile("apt: [libno-such-thing9]\n")
    done = room.run("build", path)
    assert re.search(rf"^engine   Docker 20\.10\.\S+ at {old_socket} \(context old\)$", done.stderr, re.MULTILINE), (
        done.stderr
    )
    assert done.returncode in (4, 6)


def test_a_context_that_docker_py_does_not_find(engine: Engine, config: Path, room: Room) -> None:
    """Without a config.json beside it docker-py takes the default socket, in silence: a build would go elsewhere."""
    (config / "config.json").unlink()
    room.extra |= {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "other", "HOME": str(room.folder)}
    done = room.run("build", "tiny")
    assert done.returncode == 4, done.stderr
    assert "mean different engines" in done.stderr
    assert f"unix://{config.parent}/other.sock (context other)" in done.stderr and endpoint.DEFAULT in done.stderr
    assert f"export DOCKER_HOST=unix://{config.parent}/other.sock" in done.stderr


def test_a_context_that_does_not_exist(engine: Engine, config: Path, room: Room) -> None:
    room.extra |= {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "nowhere"}
    done = room.run("build", "tiny")
    assert done.returncode == 4 and "nowhere" in done.stderr and "docker context ls" in done.stderr


def test_a_damaged_context(engine: Engine, config: Path, room: Room) -> None:
    (meta,) = (config / "contexts/meta").glob("*/meta.json")
    meta.write_text("{")
    room.extra |= {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "other"}
    done = room.run("build", "tiny")
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr


def test_containers_of_other_machines_are_left_alone(built: object, engine: Engine) -> None:
    """A process id is one machine's: an engine that several use has containers of all of them."""
    labels = ["--label=io.imagekit.run=999999999", "--label=io.imagekit.machine=elsewhere"]
    container = docker("create", *labels, "imagekit/base:bookworm")
    try:
        engine.sweep()
        assert json.loads(docker("inspect", container))[0]["Id"] == container
    finally:
        docker("rm", "-f", container)
