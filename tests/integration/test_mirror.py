"""A company's mirror: HTTPS by its own CA, behind a password. Both work in every build stage, and neither stays anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import samples
import standins
from rooms import Room, docker, every_step

PASSWORD = "c4n4ry-s3cret"


@dataclass(frozen=True)
class Mirror:
    url: str
    """With user and password."""
    bundle: Path
    address: str
    asked: list[str]
    """Paths of all requests."""


@pytest.fixture(scope="module")
def mirror(engine: object, built: tuple[Room, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """An index of everything in tiny's lock, on the address that containers reach this machine by."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    folder = tmp_path_factory.mktemp("mirror")
    lock = built[0].lock()
    wanted = [f"{p.name}=={p.version}" for p in (*lock.packages, *lock.tools) if p.name != "torch"]
    call = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder / "files"),
    ]
    call += ["--python-version=3.11", "--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64"]
    call += ["--platform=manylinux_2_28_x86_64", "--platform=any", *wanted]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    standins.index(folder, [standins.torch()])
    for file in sorted((folder / "files").iterdir()):
        page = folder / "simple" / file.name.split("-")[0].lower().replace("_", "-") / "index.html"
        page.parent.mkdir()
        shutil.copy(file, page.parent)
        page.write_text(f'<a href="{file.name}#sha256={samples.sha256(file.read_bytes())}">{file.name}</a>')
    cert, key = samples.certificate(folder, gateway)
    bundle = folder / "bundle.pem"
    system = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    bundle.write_text(system.read_text() + cert.read_text())
    asked: list[str] = []
    files = samples.folder_server(folder)

    def answer(path: str) -> samples.Answer:
        asked.append(path)
        return files(path)

    try:
        with samples.server(answer, (cert, key), host=gateway, login=f"me:{PASSWORD}") as url:
            yield Mirror(f"{url.replace('://', f'://me:{PASSWORD}@')}/simple", bundle, gateway, asked)
    except OSError as error:
        pytest.skip(f"containers reach this machine by {gateway}, which it does not have: {error}")


def test_everything_from_a_mirror_and_nothing_of_it_in_the_image(mirror: Mirror, room: Room) -> None:
    (room.folder / "imagekit.toml").write_text(f'[tls]\nca = "{mirror.bundle}"\n')
    room.extra = {"PIP_INDEX_URL": mirror.url}
    path, name = room.profile('env: {FROM: "a mirror"}\n')
    room.cache = room.folder / "cold"
    room.good("lock", path)
    mirror.asked.clear()
    with every_step(room):
        done = room.good("build", path, "--locked")
    fetched = {Path(asked).name.split("-")[0] for asked in mirror.asked if asked.endswith(".whl")}
    assert {"uv", "six", "idna"} <= fetched, "the build's own stages took them from the mirror"
    image = done.stdout.strip()

    told = done.stdout + done.stderr + room.good("site").stdout
    logs = "".join(log.read_text() for log in (room.cache / "imagekit/logs").iterdir())
    lock = "".join(file.read_text() for file in (room.folder / "locks" / name).iterdir())
    history = docker("history", "--no-trunc", image) + docker("inspect", image)
    for text in (told, logs, lock, history):
        assert PASSWORD not in text
    assert mirror.address not in lock + history

    search = f"! grep -rlsE '{PASSWORD}|{mirror.address}' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev"
    docker("run", "--rm", "--network=none", "-u", "0", "--entrypoint=", image, "sh", "-c", search)
    own = mirror.bundle.read_text().splitlines()[-3]
    docker(
        "run",
        "--rm",
        "--network=none",
        "-u",
        "0",
        "--entrypoint=",
        image,
        "sh",
        "-c",
        f"! grep -rqsF '{own}' /etc /opt /usr/share /usr/local",
    )
    assert room.leftovers() == []


def test_a_mirror_whose_ca_is_not_named(mirror: Mirror, room: Room) -> None:
    (room.folder / "imagekit.toml").unlink()
    room.extra = {"PIP_INDEX_URL": mirror.url}
    room.cache = room.folder / "cold"
    path, name = room.profile("")
    done = room.run("lock", path)
    assert done.returncode == 4
    assert "certificate is not trusted" in done.stderr and "tls.ca" in done.stderr and PASSWORD not in done.stderr
    assert not (room.folder / "locks" / name).exists()


def test_a_wrong_password(mirror: Mirror, room: Room) -> None:
    (room.folder / "imagekit.toml").write_text(f'[tls]\nca = "{mirror.bundle}"\n')
    room.extra = {"PIP_INDEX_URL": mirror.url.replace(PASSWORD, "wr0ng")}
    room.cache = room.folder / "cold"
    path, _ = room.profile("")
    done = room.run("lock", path)
    assert done.returncode in (3, 4) and "wr0ng" not in done.stderr
