"""The feature dev on a small image: proven as a stranger, no host key in any layer, sshd only when it is asked for."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import Room, docker

IMAGE = "pytorch:2.4.1-cuda12.1-tiny-dev"
LISTENING = "Server listening on 0.0.0.0 port 2222."


@pytest.fixture
def dev(room: Room) -> Iterator[str]:
    done = room.good("build", "tiny", "--feature", "dev")
    yield done.stderr
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "pytorch").split()
    docker("rmi", *[name for name in names if name == IMAGE or name.startswith(IMAGE + "-")])


def layers(image: str) -> Iterator[str]:
    """Every path of every layer, also one that a later layer removes."""
    with tempfile.TemporaryFile() as out:
        subprocess.run(["docker", "save", image], stdout=out, check=True)
        out.seek(0)
        with tarfile.open(fileobj=out) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if file is None or member.name.endswith(".json"):
                    continue
                try:
                    with tarfile.open(fileobj=file) as layer:
                        yield from layer.getnames()
                except tarfile.ReadError:  # a file that is no layer
                    continue


def started(user: str, key: Path) -> str:
    return docker(
        "run", "-d", "--user", user, "-e", "IMAGEKIT_SSHD=1", "-e", "IMAGEKIT_SSHD_KEYS=/keys", "-v", f"{key}:/keys:ro",
        "--network", "none", IMAGE, "sh", "-c", "until grep -q :08AE /proc/net/tcp; do sleep 0.1; done; id -u",
    )  # fmt: skip


def test_it_is_proven_and_holds_no_host_key(dev: str, room: Room) -> None:
    assert "tiny-dev-" in dev and "prove" in dev
    done = room.good("test", IMAGE, "--json")
    statuses = {check["check"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    for name in ("no-host-keys", "jupyter", "tensorboard", "git", "sshd"):
        assert statuses[name] == "PASS", statuses
    paths = list(layers(IMAGE))
    assert "usr/sbin/sshd" in paths and "opt/imagekit/sshd" in paths
    assert not [path for path in paths if "ssh_host_" in path]


def test_sshd_starts_only_when_asked_and_for_any_user(dev: str, room: Room) -> None:
    quiet = docker("run", "--rm", "--network", "none", IMAGE, "cat", "/proc/net/tcp")
    assert ":08AE" not in quiet  # port 2222
    key = room.folder / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUnTIX9oYCRDDBYyPgCVMpPsYbrhoU6gYRDOXRWlf5T\n")
    for user in ("1000:0", "54321:0"):
        container = started(user, key)
        try:
            assert docker("wait", container) == "0"
            assert docker("logs", container) == user.split(":")[0]
        finally:
            docker("rm", "-f", container)
