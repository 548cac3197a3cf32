"""A company's mirror: HTTPS by its own CA, behind a password. Both work in every build stage, and neither stays anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mirrors
import pytest
from mirrors import PASSWORD, Mirror
from rooms import Room, docker, every_step


@pytest.fixture(scope="module")
def mirror(engine: object, built: tuple[Room, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with mirrors.index(tmp_path_factory.mktemp("mirror"), built[0].lock()) as found:
        yield found


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
    assert (
        done.returncode == 4 and "the index pypi refuses the login (401)" in done.stderr and "wr0ng" not in done.stderr
    )
