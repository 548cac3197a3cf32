"""The compose engine on real wheels: what an installer makes of each, and a whole image without an engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import rooms
from rooms import Room

from imagekit import pipeline, resources
from imagekit.fetch import into
from imagekit.lock.model import Lock, read
from imagekit.oci import installed, layer
from imagekit.wheels import store

pytestmark = [pytest.mark.image, pytest.mark.acceptance]

SITE = "opt/venv/lib/python/site-packages"
Tree = dict[str, tuple[int, str]]
"""Path -> (mode, sha256)."""


def test_video_llm_without_an_engine(tmp_path: Path) -> None:
    call = ["imagekit", "build", "video-llm", "--locked", "--engine", "compose", "--output", "oci:out", "--json"]
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere.sock"}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    statuses = {check["check"]: check["status"] for check in json.loads(done.stdout)["proof"]["checks"]}
    assert statuses["video-llm"] == statuses["installed-files"] == statuses["bytecode"] == "PASS"
    assert sum(status == "PASS" for status in statuses.values()) >= 45
    again = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert json.loads(again.stdout)["digest"] == json.loads(done.stdout)["digest"]


def wheels_of(lock: Lock) -> list[Path]:
    """The wheels of a lock, in this user's store."""
    packages = {f"wheels/{p.file}": p for p in lock.packages if p.kind == "wheel" and p.index == "pypi"}
    into(store(), packages, {}, lock, pipeline.the_site(None), lambda _: None)
    return [store().path(package.file, package.sha256) for package in packages.values()]


def composed(wheel: Path) -> Tree:
    out = io.BytesIO()
    layer.write(out, layer.entries(installed.files(wheel, "3.11")))
    out.seek(0)
    found = {}
    with gzip.open(out) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isreg():
                content = archive.extractfile(member)
                assert content
                found[member.name] = (member.mode, hashlib.sha256(content.read()).hexdigest())
    return found


def by_uv(wheel: Path, venv: Path, prefix: Path) -> Tree:
    """What uv installs, with the modes and the interpreter that an image has (templates/base.Dockerfile.j2)."""
    call = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-cache", "--no-deps", "--offline", "--prefix"]
    subprocess.run(
        [*call, str(prefix), "--python", str(venv / "bin/python"), str(wheel)], check=True, capture_output=True
    )
    python = f"#!{venv}/bin/python".encode()
    found = {}
    for path in prefix.rglob("*"):
        name = path.relative_to(prefix).as_posix()
        if path.is_file() and name != ".lock" and not name.endswith((".dist-info/uv_cache.json", "/direct_url.json")):
            data = path.read_bytes()
            if data.startswith(python):
                data = b"#!/opt/venv/bin/python" + data.removeprefix(python)
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            place = name.replace("lib/python3.11/site-packages", "lib/python/site-packages")
            found[f"opt/venv/{place}"] = (mode, hashlib.sha256(data).hexdigest())
    return found


def test_real_wheels_become_what_uv_makes_of_them(built: tuple[Room, object], shared: Path, tmp_path: Path) -> None:
    """INSTALLER names who it was; RECORD has its hash, and those of scripts, whose interpreter is another here."""
    room = rooms.make(tmp_path, shared)
    path, name = room.profile("features: [dev]\n")
    room.good("lock", path)
    locks = [
        read(resources.profiles() / "locks/video-llm/2.4.1-cuda12.1-py311.json"),
        room.lock(f"locks/{name}/2.4.1-cuda12.1-py311.json"),
    ]
    wheels = {wheel.name: wheel for lock in locks for wheel in wheels_of(lock)}
    assert len(wheels) >= 100
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--python", "3.11", str(venv)], check=True)
    unexplained = {}
    for number, (name, wheel) in enumerate(sorted(wheels.items())):
        prefix = tmp_path / f"prefix-{number}"
        theirs, ours = by_uv(wheel, venv, prefix), composed(wheel)
        subprocess.run(["rm", "-rf", str(prefix)], check=True)
        different = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
        different = {path for path in different if path.rpartition("/")[2] not in ("INSTALLER", "RECORD")}
        if different:
            unexplained[name] = sorted(different)[:5]
    assert unexplained == {}
