"""Docker Engine 20.10, as Debian 12 has it: no COPY --link, and its own `docker` command without buildx.

Both ways of reaching its BuildKit, and its classic builder, give the files that Engine 26.1 gives.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import rooms
from rooms import Room, docker, files_of

OLD_COMMAND = "/opt/imagekit-engine-bookworm/usr/bin"
PLUGINS = "/usr/local/lib/docker"
Built = tuple[Room, "subprocess.CompletedProcess[str]"]


@pytest.fixture
def old_room(old_engine: dict[str, str], built: Built, shared: Path, tmp_path: Path) -> Room:
    room = rooms.make(tmp_path, shared)
    shutil.copytree(built[0].folder / "locks", tmp_path / "locks")  # one of another day is another image
    room.extra["DOCKER_HOST"] = old_engine["DOCKER_HOST"]
    return room


def same_files(image: str, old_engine: dict[str, str], built: Built) -> None:
    ours, theirs = files_of(built[1].stdout.strip()), files_of(image, env=old_engine)
    assert {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)} == set()


def test_with_buildx(old_room: Room, old_engine: dict[str, str], built: Built) -> None:
    assert docker("version", "-f", "{{.Server.Version}}", env=old_engine).startswith("20.10.")
    done = old_room.good("build", "tiny")
    assert re.search(r"^prove +static +\d+ pass +0:", done.stderr, re.MULTILINE), done.stderr
    same_files(done.stdout.strip(), old_engine, built)


def test_without_buildx(old_room: Room, old_engine: dict[str, str], built: Built) -> None:
    """Its own docker command, in a mount namespace where there are no plugins: DOCKER_BUILDKIT=1 docker build."""
    old_room.extra |= {"PATH": f"{OLD_COMMAND}:{os.environ['PATH']}", "DOCKER_CONFIG": str(old_room.folder)}
    hide = f"mount -t tmpfs none {PLUGINS} && ! docker buildx version 2>/dev/null && exec imagekit build tiny"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", hide], cwd=old_room.folder, env=old_room.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    same_files(done.stdout.strip(), old_engine, built)


def test_the_classic_builder(old_room: Room, old_engine: dict[str, str], built: Built) -> None:
    done = old_room.good("build", "tiny", "--engine", "classic")
    where = rf"^engine   Docker 20\.10\.\S+ at {old_engine['DOCKER_HOST']} \(DOCKER_HOST\)$"
    assert re.search(where, done.stderr, re.MULTILINE), done.stderr
    same_files(done.stdout.strip(), old_engine, built)
