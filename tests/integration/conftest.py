"""A real engine, a room of one's own for each test, and nothing left behind.

Without an engine these tests are skipped and say so; with IMAGEKIT_REQUIRE_ENGINE=1 (`make test`) they fail instead.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rooms
import standins
from rooms import LOCK, Room, docker, tags

from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings

SCRIPT = Path(__file__).parents[2] / "scripts/engine"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    reason = "" if shutil.which("docker") else "the docker command is not installed"
    try:
        found = Engine()
    except Surroundings as error:
        reason = f"no engine: {error.message}; {error.hint}"
    if reason and os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    before = tags()
    yield found
    new = tags().keys() - before.keys()
    own = re.compile(
        rf"-({'|'.join(['tiny', *rooms.MADE])})(-failed|-plain|-derived|-with-.*|-\d{{8}}-[0-9a-f]{{7}}(\.\d+)?)?$"
    )
    mine = sorted(tag for tag in new if own.search(tag))
    ids = {image for tag, image in tags().items() if tag in mine}
    if mine:
        subprocess.run(["docker", "rmi", *mine], capture_output=True, check=False)
    loose = docker("images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", "label=io.imagekit.profile")
    for image in loose.split():
        label = docker("inspect", "-f", '{{index .Config.Labels "io.imagekit.profile"}}', image)
        if label.startswith("tiny") or image in ids:
            subprocess.run(["docker", "rmi", image], capture_output=True, check=False)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache and index that all rooms share: wheels are fetched once."""
    folder = tmp_path_factory.mktemp("shared")
    standins.index(folder)
    return folder


@pytest.fixture(scope="session")
def built(
    engine: Engine, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Room, subprocess.CompletedProcess[str]]:
    """A room in which tiny was built, and what the build printed."""
    room = rooms.make(tmp_path_factory.mktemp("built"), shared)
    return room, room.good("build", "tiny")


@pytest.fixture
def room(engine: Engine, built: object, shared: Path, tmp_path: Path) -> Room:
    """A fresh room that has tiny's lock; the images of `built` make its builds quick."""
    first: Room = built[0]  # type: ignore[index]
    made = rooms.make(tmp_path, shared)
    (tmp_path / LOCK).parent.mkdir(parents=True)
    shutil.copy(first.folder / LOCK, tmp_path / LOCK)
    return made


@pytest.fixture
def alone(shared: Path, tmp_path: Path) -> Room:
    """A room on a machine without an engine."""
    (tmp_path / "alone").mkdir()
    made = rooms.make(tmp_path / "alone", shared)
    made.extra["DOCKER_HOST"] = "unix:///nowhere.sock"
    return made


@pytest.fixture(scope="module")
def old_engine(engine: object) -> Iterator[dict[str, str]]:
    """The environment in which `docker` means Engine 20.10, Debian 12's own; it has the base of the other one.

    Not that of `built`: what was built before the large images of `make acceptance` has lost its build cache after them.
    """
    release = Path("/etc/os-release").read_text()
    if os.getuid() or "VERSION_CODENAME=bookworm" not in release:
        pytest.skip("Engine 20.10 is Debian 12's, and only root may start it")
    started = subprocess.run([SCRIPT, "up", "bookworm"], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
    environment = {**os.environ, "DOCKER_HOST": started.stdout.strip()}
    if not docker("images", "-q", "imagekit/base:bookworm"):
        subprocess.run(["imagekit", "base", "bootstrap"], check=True, capture_output=True)
    with subprocess.Popen(["docker", "save", "imagekit/base:bookworm"], stdout=subprocess.PIPE) as saved:
        subprocess.run(["docker", "load", "-q"], stdin=saved.stdout, env=environment, check=True, capture_output=True)
    yield environment
    subprocess.run(["docker", "system", "prune", "-af"], env=environment, capture_output=True, check=True)  # all ours
    subprocess.run([SCRIPT, "down", "bookworm"], capture_output=True, check=True)
