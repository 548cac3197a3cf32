"""An engine over ssh://: built there and proven there, by docker-py and the docker command through the user's own ssh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssh_server
from rooms import Room, docker


@pytest.fixture
def remote(engine: object, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which the usual engine is reached over ssh."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    with ssh_server.serve(folder) as shim:
        yield {"PATH": f"{shim}:{os.environ['PATH']}", "DOCKER_HOST": f"ssh://{ssh_server.HOST}"}


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_over_ssh(room: Room, remote: dict[str, str], builder: str) -> None:
    path, name = room.profile(f'env: {{SSH: "{builder}"}}\n')
    room.extra |= remote
    done = room.good("build", path, "--engine", builder)
    assert "engine   Docker " in done.stderr and f"at ssh://{ssh_server.HOST} (DOCKER_HOST)" in done.stderr
    assert "prove " in done.stderr
    assert done.stdout.strip() == docker("inspect", "-f", "{{.Id}}", f"pytorch:2.4.1-cuda12.1-{name}")
    assert room.leftovers() == []


def test_a_user_that_is_not_let_in(room: Room, remote: dict[str, str]) -> None:
    room.extra |= remote | {"DOCKER_HOST": f"ssh://nobody@{ssh_server.HOST}"}
    done = room.run("build", "tiny")
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
    assert f"does this answer?  ssh nobody@{ssh_server.HOST} docker version" in done.stderr
