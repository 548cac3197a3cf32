"""What a machine can have against a build: a socket that is not ours, a disk that is full."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from rooms import Room

root = pytest.mark.skipif(os.getuid() != 0, reason="only root can take rights from itself and mount a small disk")


def run(room: Room, *call: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(call, cwd=room.folder, env=room.environment, capture_output=True, text=True, check=False)


@root
def test_a_socket_of_somebody_else(room: Room, tmp_path: Path) -> None:
    path = tmp_path / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        os.chown(path, 65534, 65534)
        path.chmod(0o600)
        room.extra["DOCKER_HOST"] = f"unix://{path}"
        done = run(room, "setpriv", "--bounding-set=-dac_override", "--inh-caps=-all", "imagekit", "build", "tiny")
    assert done.returncode == 4, done.stderr
    assert "this user may not talk to the Docker Engine" in done.stderr and "usermod" in done.stderr
    assert "Traceback" not in done.stderr


@root
@pytest.mark.parametrize("verb", ["lock", "build"])
def test_a_full_disk(room: Room, verb: str) -> None:
    """The cache is on a disk of one megabyte: no room for uv's cache, nor for the wheels of the stand-in index."""
    small = room.folder / "small"
    small.mkdir()
    script = f"mount -t tmpfs -o size=1m none {small} && exec imagekit {verb} tiny --upgrade"
    room.extra["XDG_CACHE_HOME"] = str(small)
    before = (room.folder / "locks/tiny/2.4.1-cuda12.1-py311.json").read_bytes()
    done = run(room, "unshare", "--mount", "sh", "-ec", script)
    assert done.returncode in (1, 4), done.stderr
    assert "no space left" in done.stderr.lower() and "hint" in done.stderr
    assert "Traceback" not in done.stderr
    assert (room.folder / "locks/tiny/2.4.1-cuda12.1-py311.json").read_bytes() == before
