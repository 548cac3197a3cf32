"""Fetched where there is a network, composed where there is none: the same image, and nothing asked of anybody."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import apart
import pytest
import registries
import repositories
from rooms import Room, docker

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root makes a network namespace with loopback up")


def elsewhere(folder: Path, room: Room) -> Room:
    """Another machine: nothing kept, no index, no engine; a copy of the project."""
    folder.mkdir()
    for path in room.folder.iterdir():
        if path.suffix in (".yaml", ".py"):
            shutil.copy(path, folder)
    there = Room(folder, folder / "cache", folder / "index")
    there.extra |= {"DOCKER_HOST": "unix:///nowhere.sock", "DOCKER_CONFIG": str(folder), "HOME": str(folder)}
    there.temporary.mkdir()
    return there


def everything(folder: Path) -> bytes:
    """What is written in a bundle, but for the archives and the facts."""
    found = (path for path in folder.rglob("*") if path.suffix in (".json", ".tsv") and path.name != "facts.json")
    return b"".join(path.read_bytes() for path in found)


def test_the_same_image_where_there_is_no_network(alone: Room, tmp_path: Path) -> None:
    with repositories.served(tmp_path / "repository") as repository:
        repository.package("1.0", '"six"')
        repository.tag("v1")
        source = f"sources:\n  acme-clip: {{git: {repository.url}, ref: v1}}\n"
        path, name = alone.profile(f"{source}checks: [own.py]\n")
        (alone.folder / "own.py").write_text(
            "def check_own():\n    import acme_clip\n    return acme_clip.__version__\n"
        )
        done = alone.good("fetch", path, "tiny", "--to", "bundle")
    bundle = alone.folder / "bundle"
    assert done.stdout == "bundle\n" and "2 in the bundle" in done.stderr
    here = alone.good("build", path, "--locked", "--engine", "compose", "--no-test", "--output", "oci:out", "--json")

    there = elsewhere(tmp_path / "apart", alone)
    shutil.copytree(bundle, there.folder / "carried")
    call = ("build", path, "--offline", "carried", "--output", "registry:{registry}/ml/pytorch", "--json")
    built = apart.run(there, *call, "--output", "oci:out")
    assert built.returncode == 0, built.stderr
    ours, theirs = json.loads(here.stdout), json.loads(built.stdout)
    assert theirs["digest"] == ours["digest"] and theirs["tags"] == ours["tags"]
    assert any(check["check"].endswith("own") for check in theirs["proof"]["checks"]), theirs["proof"]
    assert "out of the bundle" in built.stderr and not (there.folder / "locks").exists()
    shutil.rmtree(there.folder / "carried/wheels")  # what was taken over is known
    again = apart.run(there, "build", path, "--offline", "carried", "--output", "oci:again")
    assert again.returncode == 0 and "the very same image was proven" in again.stderr, again.stderr
    tiny = apart.run(there, "build", "tiny", "--offline", "carried", "--output", "oci:tiny")
    assert tiny.returncode == 0, tiny.stderr  # which needs nothing besides
    assert there.leftovers() == [] and alone.leftovers() == []


def test_a_bundle_tells_nothing_of_the_machine_that_made_it(alone: Room) -> None:
    alone.good("fetch", "tiny", "--to", "bundle")
    text = everything(alone.folder / "bundle")
    for secret in (str(alone.folder), str(alone.index), "file://", socket.gethostname(), "http"):
        assert secret.encode() not in text, secret
    rows = (alone.folder / "bundle/mirror.tsv").read_text().splitlines()
    kinds = {row.split("\t")[0] for row in rows}
    assert kinds == {"kind", "wheel", "tool", "deb"}
    lock = alone.lock()
    assert {row.split("\t")[5] for row in rows if row.startswith("wheel")} == {
        package.sha256 for package in lock.packages if package.kind == "wheel"
    }
    for path in (alone.folder / "bundle/blobs").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_on_an_image_of_a_registry(engine: object, room: Room, tmp_path: Path) -> None:
    with registries.served(tmp_path / "registry") as host:
        name = f"{host}/company/base:1"
        text = "FROM imagekit/base:bookworm\nRUN echo acme >/etc/company\nENV COMPANY=acme\n"
        subprocess.run(
            ["docker", "build", "-q", "-t", name, "-"], input=text, text=True, check=True, capture_output=True
        )
        try:
            docker("push", "-q", name)
            room.good("fetch", "tiny", "--base", f"image:{name}", "--to", str(tmp_path / "bundle"))
        finally:
            docker("rmi", "-f", name)
    there = elsewhere(tmp_path / "apart", room)
    call = ("build", "tiny", "--base", f"image:{name}", "--offline", str(tmp_path / "bundle"), "--output", "oci:out")
    done = apart.run(there, *call)
    assert done.returncode == 0, done.stderr
    assert "static  19 pass" in done.stderr and done.stdout.startswith("oci:out:")
    assert f"image\t{name}\t" in (tmp_path / "bundle/mirror.tsv").read_text()


def test_killed_while_it_fetches(alone: Room) -> None:
    """What a killed fetch left is taken over by the next; a stopped one leaves nothing."""
    new = replace(alone, cache=alone.folder / "new")
    process = new.start("fetch", "tiny", "--to", "bundle")
    assert process.stderr
    assert any(line.startswith("system") for line in process.stderr)
    process.kill()
    process.communicate()
    assert not (alone.folder / "bundle/bundle.json").exists()
    alone.good("fetch", "tiny", "--to", "bundle")
    files = {path.relative_to(alone.folder / "bundle").parts[0] for path in (alone.folder / "bundle").rglob("*")}
    assert files == {".imagekit-bundle", "bundle.json", "facts.json", "mirror.tsv", "locks", "wheels", "blobs"}
    assert (alone.folder / f"bundle/locks/{alone.lock().digest}.json").is_file()
    assert alone.leftovers() == []
