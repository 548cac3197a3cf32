"""Signatures by the real cosign, in a registry with a login and TLS under a CA of its own.

Without cosign these tests are skipped and say so; with IMAGEKIT_REQUIRE_ENGINE=1 (`make test`) they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import registries
import rooms
import samples
from rooms import Room

PASSWORD = "hush-canary-key"
TAG = "2.4.1-cuda12.1-tiny"


@dataclass
class Signed:
    room: Room
    host: str
    keys: Path


@pytest.fixture
def signed(tmp_path: Path, shared: Path) -> Iterator[Signed]:
    """A room whose site signs, a registry, and a folder of keys: cosign.key, cosign.pub."""
    if not shutil.which("cosign"):
        reason = "cosign is not installed; make test gets it"
        if os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    keys = tmp_path / "keys"
    keys.mkdir()
    environment = {**os.environ, "COSIGN_PASSWORD": PASSWORD}
    subprocess.run(["cosign", "generate-key-pair"], cwd=keys, env=environment, check=True, capture_output=True)
    certificate, key = samples.certificate(keys, "127.0.0.1")
    bundle = keys / "ca.pem"
    others = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    bundle.write_bytes(Path(others).read_bytes() + certificate.read_bytes())
    with registries.served(tmp_path / "registry", login=True, tls=(certificate, key)) as host:
        room = rooms.make(tmp_path, shared)
        with (tmp_path / "imagekit.toml").open("a") as file:
            file.write(f'[registry]\npush = "{host}/staging"\nprod = "{host}/prod"\n[tls]\nca = "{bundle}"\n')
            file.write(f'[sign]\nkey = "{keys / "cosign.key"}"\npublic = "{keys / "cosign.pub"}"\n')
        registries.log_in(tmp_path, host)
        own = {"DOCKER_CONFIG": str(tmp_path), "COSIGN_PASSWORD": PASSWORD}
        yield Signed(replace(room, extra={**room.extra, **own}), host, keys)


def test_signed_when_pushed_and_where_it_is_promoted_to(signed: Signed) -> None:
    room = signed.room
    place = f"registry:{signed.host}/staging/pytorch"
    done = room.good("build", "tiny", "--engine", "compose", "--output", place)
    assert "sign     4 of 4 by cosign: the image, and what says what is in it" in done.stderr
    reference = done.stdout.strip()
    assert "PASS     signature  of the image and of 3 things attached to it" in room.good("verify", reference).stderr
    moved = room.good("promote", reference, "--to", "prod").stdout.strip()
    assert "PASS     signature" in room.good("verify", moved).stderr, "a signature goes with its image"
    again = room.good("build", "tiny", "--engine", "compose", "--output", place)
    assert again.stdout.strip() == reference and "sign     signed already" in again.stderr
    assert PASSWORD not in done.stderr + again.stderr
    for path in (room.state, room.folder / "registry/data", room.folder / "locks"):
        for file in path.rglob("*"):
            assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


def test_another_key_and_no_signature(signed: Signed, tmp_path: Path) -> None:
    room = signed.room
    reference = room.good(
        "build", "tiny", "--engine", "compose", "--output", f"registry:{signed.host}/a/pytorch"
    ).stdout.strip()
    other = tmp_path / "other"
    other.mkdir()
    environment = {**os.environ, "COSIGN_PASSWORD": ""}
    subprocess.run(["cosign", "generate-key-pair"], cwd=other, env=environment, check=True, capture_output=True)
    wrong = room.run("verify", reference, "--key", str(other / "cosign.pub"))
    assert wrong.returncode == 5 and "FAIL     signature  " in wrong.stderr
    locked = replace(room, extra={**room.extra, "COSIGN_PASSWORD": "not this one"})
    refused = locked.run("build", "tiny", "--engine", "compose", "--output", f"registry:{signed.host}/b/pytorch")
    assert refused.returncode == 4 and "cosign could not sign" in refused.stderr and "COSIGN_PASSWORD" in refused.stderr
    missing = room.run("inspect", f"registry:{signed.host}/b/pytorch:{TAG}")
    assert missing.returncode == 2, "what could not be signed has no name"
