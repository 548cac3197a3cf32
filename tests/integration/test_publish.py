"""A proven image into a registry: by an engine and out of a layout, under its own names and no others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import registries
from rooms import Room, docker

Built = tuple[Room, "subprocess.CompletedProcess[str]"]
TAG = "2.4.1-cuda12.1-tiny"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry that wants a login."""
    with registries.served(tmp_path / "registry", login=True) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, built: Built, host: str) -> Room:
    """The room of `built`, with that login, and a site that says where images go."""
    registries.log_in(tmp_path, host)
    own = {"DOCKER_CONFIG": str(tmp_path), "IMAGEKIT_REGISTRY": f"{host}/staging"}
    return replace(built[0], extra={**built[0].extra, **own})


def test_an_image_of_an_engine(here: Room, host: str) -> None:
    room = here
    done = room.good("publish", "tiny")
    place = f"{host}/staging/pytorch"
    assert done.stdout.startswith(f"{place}@sha256:") and f"{place}:{TAG}  new" in done.stderr
    assert host not in docker("images", "--format", "{{.Repository}}"), "no name of the registry stays here"
    again = room.good("publish", "tiny", "--json")
    said = json.loads(again.stdout)
    assert said["reference"] == done.stdout.strip() and {row["state"] for row in said["tags"]} == {"same"}
    assert "nothing: " in again.stderr
    assert "proven" in room.good("evidence", f"registry:{place}:{TAG}").stdout
    found = json.loads(room.good("inspect", f"registry:{done.stdout.strip()}", "--json").stdout)
    assert found["labels"]["profile"] == "tiny"


def test_out_of_a_layout(here: Room, host: str, tmp_path: Path) -> None:
    room = here
    layout = room.good("build", "tiny", "--engine", "compose", "--output", f"oci:{tmp_path / 'out'}").stdout.strip()
    first = room.good("publish", layout, "--to", f"{host}/ml/composed")
    assert f"{TAG}  new" in first.stderr and "1 report attached" in first.stderr
    room.good("publish", f"registry:{first.stdout.strip()}", "--to", f"registry:{host}/ml/copied")
    bad = room.run("publish", layout, "--to", f"{host}/ml/composed:mine")
    assert bad.returncode == 2 and "has a tag" in bad.stderr


def test_what_was_not_proven_stays_here(here: Room, host: str) -> None:
    room = here
    path, name = room.profile("packages: [toolz]\n")
    room.good("build", path, "--no-test")
    done = room.run("publish", f"pytorch:2.4.1-cuda12.1-{name}", "--to", f"{host}/ml/pytorch")
    assert done.returncode == 5 and "no proof of" in done.stderr and "imagekit test" in done.stderr
    assert room.run("inspect", f"registry:{host}/ml/pytorch:2.4.1-cuda12.1-{name}").returncode == 2


def test_what_cannot_be_published_is_said(here: Room, host: str) -> None:
    room = here
    foreign = room.run("publish", "imagekit/base:bookworm", "--to", f"{host}/ml/pytorch")
    assert foreign.returncode == 2 and "was not built by imagekit" in foreign.stderr
    room = replace(here, extra={**here.extra, "DOCKER_CONFIG": str(here.folder / "nothing")})
    denied = room.run("publish", "tiny", "--to", f"{host}/ml/pytorch")
    assert denied.returncode == 4 and f"docker login {host}" in denied.stderr


def test_old_ones_go_and_what_is_used_stays(here: Room, host: str, tmp_path: Path) -> None:
    """docker-registry lists names of images that are gone."""
    path, name = here.profile("packages: [toolz]\n")
    call = ("build", path, "--engine", "compose", "--output", f"registry:{host}/ml/pytorch")
    first = here.good(*call).stdout.strip()
    here.profile('packages: [toolz]\nenv: {NOTE: "two"}\n', name)
    second = here.good(*call).stdout.strip()
    assert first != second
    listed = here.good("registry", "prune", f"{host}/ml/pytorch", "--keep", "1", "--dry-run").stdout
    assert listed.split()[0] == first.rpartition("@")[2] and len(listed.splitlines()) == 1
    here.good("registry", "prune", f"{host}/ml/pytorch", "--keep", "1")
    assert here.run("inspect", f"registry:{first}").returncode == 2
    assert here.good("inspect", f"registry:{second}").returncode == 0
    assert "0 images removed" in here.good("registry", "prune", f"{host}/ml/pytorch", "--keep", "1").stderr
