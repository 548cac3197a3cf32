"""A real engine, a room of one's own for each test, and nothing left behind.

Without an engine these tests are skipped and say so; with IMAGEKIT_REQUIRE_ENGINE=1 (`make test`) they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import standins

from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings
from imagekit.lock.model import Lock, read

LOCK = "locks/tiny/2.4.1-cuda12.1-py311.json"
PATIENCE = 300
"""Seconds that one command may take before its test fails."""


@dataclass
class Room:
    """A folder with a site file and a local index, in which imagekit is run as a user runs it."""

    folder: Path
    cache: Path
    index: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        own = {"XDG_CACHE_HOME": self.cache, "XDG_STATE_HOME": self.state, "TMPDIR": self.temporary}
        host = {key: value for key, value in os.environ.items() if key not in ("CI", "IMAGEKIT_SITE")}
        return {**host, **{key: str(value) for key, value in own.items()}, **self.extra}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "imagekit", *arguments], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def good(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def lock(self, path: str = LOCK) -> Lock:
        return read(self.folder / path)

    def profile(self, text: str, name: str = "") -> tuple[str, str]:
        """Write a profile of its own that extends tiny; (argument for the command line, its name)."""
        name = name or f"tiny-{uuid.uuid4().hex[:8]}"
        (self.folder / f"{name}.yaml").write_text(f"extends: tiny\n{text}")
        return f"./{name}.yaml", name

    def leftovers(self) -> list[str]:
        """Temporary files of imagekit."""
        return sorted(path.name for path in self.temporary.iterdir())


def docker(*arguments: str, **options: object) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, **options).stdout.strip()  # type: ignore[call-overload,no-any-return]


def tags() -> dict[str, str]:
    """Tag -> image id of everything tests may make."""
    rows = docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "pytorch").splitlines()
    return {tag: image for tag, _, image in (row.partition(" ") for row in rows) if "-tiny" in tag}


def secret() -> list[str]:
    """How a plain `docker build` gets the CA bundle where one is needed."""
    bundle = os.environ.get("SSL_CERT_FILE")
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        found = Engine()
    except Surroundings as error:
        reason = f"no engine: {error.message}; {error.hint}"
        if os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    if shutil.which("docker") is None:
        pytest.skip("the docker command is not installed")
    before = tags()
    yield found
    mine = sorted(tags().keys() - before.keys())
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


def make_room(folder: Path, shared: Path) -> Room:
    standins.site_file(folder, (shared / "simple").as_uri())
    room = Room(folder, shared / "cache", shared / "simple")
    room.temporary.mkdir()
    return room


@pytest.fixture(scope="session")
def built(engine: Engine, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Room, subprocess.CompletedProcess[str]]:
    """A room in which tiny was built, and what the build printed."""
    room = make_room(tmp_path_factory.mktemp("built"), shared)
    return room, room.good("build", "tiny")


@pytest.fixture
def room(engine: Engine, built: object, shared: Path, tmp_path: Path) -> Room:
    """A fresh room that has tiny's lock; the images of `built` make its builds quick."""
    first: Room = built[0]  # type: ignore[index]
    made = make_room(tmp_path, shared)
    (tmp_path / LOCK).parent.mkdir(parents=True)
    shutil.copy(first.folder / LOCK, tmp_path / LOCK)
    return made
