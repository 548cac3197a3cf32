"""The classic builder, the last resort: the same files as BuildKit, its failures told, nothing left when it is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mirrors
import pytest
from rooms import PATIENCE, Room, docker, files_of, no_stages_left, tags

Built = tuple[Room, "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True, scope="module")
def stages(engine: object) -> Iterator[None]:
    with no_stages_left("io.imagekit.stage"):
        yield


def differ(one: str, other: str) -> set[str]:
    ours, theirs = files_of(one), files_of(other)
    assert len(ours) > 1000
    return {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}


def test_the_same_files(room: Room, built: Built) -> None:
    done = room.good("build", "tiny", "--engine", "classic")
    assert differ(built[1].stdout.strip(), done.stdout.strip()) == set()
    again = room.good("build", "tiny", "--engine", "classic")
    assert again.stdout == done.stdout, "everything was taken from the cache"
    assert room.leftovers() == []


def test_a_context_that_needs_no_index(built: Built) -> None:
    """What an air-gapped machine builds: in a network without a way out, but for apt, whose archives are the host's."""
    room, done = built
    context = room.good("render", "tiny", "--engine", "classic", "-o", "classic").stdout.strip()
    name = "pytorch:2.4.1-cuda12.1-tiny-plain"
    call = ["docker", "build", "-q", "-t", name, "--build-arg=PIP_INDEX_URL=http://127.0.0.1:1/", context]
    environment = {**room.environment, "DOCKER_BUILDKIT": "0", "BUILDX_BUILDER": ""}
    subprocess.run(call, cwd=room.folder, env=environment, check=True, capture_output=True)
    assert differ(done.stdout.strip(), name) == set()
    docker("rmi", name)
    subprocess.run(call, cwd=room.folder, env={**environment, "DOCKER_BUILDKIT": "1"}, check=True, capture_output=True)
    assert differ(done.stdout.strip(), name) == set(), "BuildKit builds it as well"


def test_a_distribution_package_that_does_not_exist(room: Room) -> None:
    path, name = room.profile("apt: [libno-such-thing9]\n")
    done = room.run("build", path, "--engine", "classic")
    assert done.returncode == 6, done.stderr
    assert "Unable to locate package libno-such-thing9" in done.stderr
    assert "a distribution package of `apt:` does not exist" in done.stderr
    assert "[system " in done.stderr and "Traceback" not in done.stderr
    (log,) = (room.cache / "imagekit/logs").glob(f"{name}-*.log")
    assert "Unable to locate package" in log.read_text()
    assert room.leftovers() == [] and [tag for tag in tags() if name in tag] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build(room: Room, number: int) -> None:
    """Stopped in a step of its own: no container, no tag, no temporary file."""
    package = {signal.SIGINT: "libsysfs2", signal.SIGTERM: "libx86-1"}[signal.Signals(number)]
    path, name = room.profile(f"apt: [{package}]\n")
    process = room.start("build", path, "--engine", "classic")
    while not running(package):
        assert process.poll() is None, "it ended before its first step"
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, ""), err
    assert "interrupted" in err and "Traceback" not in err
    assert running(package) == []
    assert room.leftovers() == [] and [tag for tag in tags() if name in tag] == []


def running(package: str) -> list[str]:
    """Containers of a build that installs a package, whether they run or not."""
    found = docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Command}}").splitlines()
    return [row for row in found if package in row]


def test_without_the_docker_command(room: Room, built: Built) -> None:
    """What the automatic choice does then, and that it says so."""
    bare = room.folder / "bare"
    bare.mkdir()
    for tool in ("uv", "sh", "env"):
        if shutil.which(tool):
            (bare / tool).symlink_to(str(shutil.which(tool)))
    room.extra["PATH"] = str(bare)
    done = room.good("build", "tiny")
    assert "the classic builder, as the last resort: the docker command is missing" in done.stderr
    del room.extra["PATH"]
    assert differ(built[1].stdout.strip(), done.stdout.strip()) == set()
    room.extra["PATH"] = str(bare)
    refused = room.run("build", "tiny", "--engine", "buildkit")
    assert refused.returncode == 4 and "the docker command is missing" in refused.stderr
    assert "--engine classic" in refused.stderr


def test_nothing_of_a_private_index_enters_a_stage(room: Room, built: Built, tmp_path: Path) -> None:
    """HTTPS by a CA of its own, behind a password: asked by this machine only, found in no layer, no history, no log."""
    with mirrors.index(tmp_path / "mirror", built[0].lock()) as mirror:
        (room.folder / "imagekit.toml").write_text(f'[tls]\nca = "{mirror.bundle}"\n')
        room.extra = {"PIP_INDEX_URL": mirror.url}
        path, name = room.profile('env: {FROM: "a mirror"}\n')
        room.cache = room.folder / "cold"
        room.good("lock", path)
        mirror.asked.clear()
        done = room.good("build", path, "--locked", "--engine", "classic")
        fetched = {Path(asked).name.split("-")[0] for asked in mirror.asked if asked.endswith(".whl")}
        assert {"uv", "six", "idna"} <= fetched
        mirror.asked.clear()
        room.good("build", path, "--locked", "--engine", "classic")
        assert mirror.asked == [], "all of it is in the wheel store"
    image = done.stdout.strip()
    logs = "".join(log.read_text() for log in (room.cache / "imagekit/logs").iterdir())
    call = ["images", "-aq", "--no-trunc", "--filter", f"label=io.imagekit.stage={name}"]
    stages = docker(*call).split()
    assert len(stages) >= 2
    told = "".join(docker("history", "--no-trunc", layer) + docker("inspect", layer) for layer in (image, *stages))
    for text in (done.stdout + done.stderr, logs, told):
        assert mirrors.PASSWORD not in text
    for text in (logs, told):
        assert mirror.address not in text
    own = mirror.bundle.read_text().splitlines()[-3]
    for layer in (image, *stages):
        for secret in (mirrors.PASSWORD, mirror.address, own):
            search = f"! grep -rlsF -e '{secret}' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev"
            docker("run", "--rm", "--network=none", "-u", "0", "--entrypoint=", layer, "sh", "-c", search)
