"""A company's surroundings, for real: a private index with a login, a mirror of the distribution, a proxy.

Each is used, and none is in the image, its history, the log, the record, the lock or the context.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mirrors
import pytest
from mirrors import PASSWORD, Mirror
from rooms import Room, docker, every_step, files_of

from imagekit.engines.docker_api import Engine

BOTH = """\
[indexes.pypi]
url = "{url}"
auth = "{auth}"
user = "me"
[indexes.company]
url = "{url}"
only = ["torch"]
auth = "{auth}"
user = "me"
[tls]
ca = "{ca}"
"""


@pytest.fixture(scope="module")
def private(engine: Engine, built: tuple[Room, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with mirrors.index(tmp_path_factory.mktemp("private"), built[0].lock()) as found:
        yield found


def by(room: Room, private: Mirror, auth: str) -> None:
    """The room's site: everything from the private index, torch as from a company's own."""
    room.cache = room.folder / "cold"
    text = BOTH.format(url=private.plain, auth=auth, ca=private.bundle)
    (room.folder / "imagekit.toml").write_text(text)
    netrc, keyring = room.folder / "netrc", room.folder / "keyrings/keyring"
    netrc.write_text(f"machine {private.address} login me password {PASSWORD}\n")
    netrc.chmod(0o600)
    keyring.parent.mkdir(exist_ok=True)
    keyring.write_text(f'#!/bin/sh\n[ "$1 $3" = "get me" ] && [ "$2" = "{private.plain}" ] && echo {PASSWORD}\n')
    keyring.chmod(0o755)
    room.extra = {"NETRC": str(netrc)} if auth == "netrc" else {"COMPANY_LOGIN": f"me:{PASSWORD}"}
    if auth == "keyring":
        room.extra = {"PATH": f"{keyring.parent}:{room.environment['PATH']}"}


def traces(room: Room, name: str, image: str, words: list[str], told: str) -> list[str]:
    """Where one of the words is that should be nowhere."""
    logs = "".join(path.read_text() for path in (room.cache / "imagekit/logs").glob(f"{name}-*"))
    records = "".join(path.read_text() for path in (room.state / "imagekit").rglob("*.json"))
    locks = "".join(path.read_text() for path in (room.folder / "locks" / name).iterdir())
    history = docker("history", "--no-trunc", image) + docker("inspect", image)
    assert logs and records and locks
    room.good("render", f"./{name}.yaml", "--output", "context")
    context = "".join(p.read_text(errors="replace") for p in (room.folder / "context").rglob("*") if p.is_file())
    places = {
        "what was told": told,
        "log": logs,
        "record": records,
        "lock": locks,
        "history": history,
        "context": context,
    }
    found = [place for place, text in places.items() for word in words if word in text]
    search = f"grep -rlsE '{'|'.join(words)}' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev; :"
    call = ["run", "--rm", "--network=none", "-u", "0", "--entrypoint=", image, "sh", "-c", search]
    return found + docker(*call).splitlines() + room.leftovers()


@pytest.mark.parametrize("auth", ["env:COMPANY_LOGIN", "netrc", "keyring"])
def test_locking_from_private_indexes(private: Mirror, room: Room, auth: str) -> None:
    by(room, private, auth)
    path, name = room.profile("")
    private.asked.clear()
    done = room.good("lock", path)
    assert any("torch" in asked for asked in private.asked) and any("six" in asked for asked in private.asked)
    lock = next((room.folder / "locks" / name).iterdir()).read_text()
    assert '"index": "company"' in lock
    for text in (lock, done.stderr, room.good("site").stdout):
        assert PASSWORD not in text
    assert private.address not in lock + done.stderr


def test_a_build_from_private_indexes_leaves_no_trace(private: Mirror, room: Room) -> None:
    by(room, private, "env:COMPANY_LOGIN")
    path, name = room.profile('env: {FROM: "private indexes"}\n')
    room.good("lock", path)
    private.asked.clear()
    with every_step(room):
        done = room.good("build", path, "--locked")
    fetched = {Path(asked).name.split("-")[0] for asked in private.asked if asked.endswith(".whl")}
    assert {"uv", "six", "torch"} <= fetched, "by the build's own stages, and by this machine"
    assert traces(room, name, done.stdout.strip(), [PASSWORD, private.address], done.stdout + done.stderr) == []


def test_a_login_that_is_not_set_stops_before_anything(private: Mirror, room: Room) -> None:
    by(room, private, "env:COMPANY_LOGIN")
    room.extra = {}
    path, name = room.profile("")
    done = room.run("lock", path)
    assert done.returncode == 4 and "$COMPANY_LOGIN is not set" in done.stderr
    assert private.address not in done.stderr and not (room.folder / "locks" / name).exists()


def test_a_mirror_of_the_distribution_changes_nothing_in_the_image(engine: Engine, room: Room) -> None:
    path, name = room.profile('env: {FROM: "a mirror of the distribution"}\n')
    with_none = room.good("build", path).stdout.strip()
    upstream = mirrors.archives("imagekit/base:bookworm")
    assert {"debian", "debian-security"} <= upstream.keys()
    with mirrors.archive(upstream) as mirror:
        room.extra["IMAGEKIT_APT_MIRROR"] = f"{mirror.url}/debian"
        with every_step(room):
            done = room.good("build", path)
        assert [asked for asked in mirror.asked if asked.startswith("/debian/dists/bookworm/")]
        assert [asked for asked in mirror.asked if asked.startswith("/debian-security/dists/bookworm-security/")]
        assert {Path(asked).name.split("_")[0] for asked in mirror.asked if asked.endswith(".deb")} >= {"tini"}
        image = done.stdout.strip()
        assert files_of(image) == files_of(with_none)
        del room.extra["IMAGEKIT_APT_MIRROR"]
        assert traces(room, name, image, [mirror.address], done.stdout + done.stderr) == []


def test_a_base_made_from_a_mirror_is_the_same(engine: Engine, room: Room) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    plain = room.good("base", "bootstrap").stdout.strip()
    with mirrors.archive(mirrors.archives(plain)) as mirror:
        room.extra["IMAGEKIT_APT_MIRROR"] = f"{mirror.url}/debian"
        done = room.good("base", "bootstrap")
        assert [asked for asked in mirror.asked if asked.endswith(".deb")]
    assert done.stdout.strip() == plain, "named by the sha256 of its bytes"


def test_a_mirror_that_is_not_there(room: Room) -> None:
    path, _ = room.profile('env: {FROM: "nowhere"}\n')
    room.extra["IMAGEKIT_APT_MIRROR"] = "http://127.0.0.1:9/debian"
    with every_step(room):
        done = room.run("build", path)
    assert done.returncode == 6 and "the network" in done.stderr and "127.0.0.1" not in done.stderr


def test_everything_through_a_proxy(engine: Engine, room: Room) -> None:
    path, name = room.profile('env: {FROM: "a proxy"}\n')
    room.cache = room.folder / "cold"
    with mirrors.proxy() as proxy:
        room.extra |= {"IMAGEKIT_PROXY_HTTP": proxy.url, "IMAGEKIT_PROXY_HTTPS": proxy.url}
        room.good("lock", path)
        locking = list(proxy.asked)
        assert locking, "resolving goes through it"
        with every_step(room):
            done = room.good("build", path, "--locked")
        building = proxy.asked[len(locking) :]
        assert [asked for asked in building if "/debian/" in asked], "and so does a step"
        image = done.stdout.strip()
        room.extra = {"PATH": room.environment["PATH"]}
        assert traces(room, name, image, [proxy.address], done.stdout + done.stderr) == []


def test_a_step_without_a_network(room: Room) -> None:
    path, _ = room.profile('env: {FROM: "no network"}\n')
    room.extra["IMAGEKIT_BUILD_NETWORK"] = "none"
    with every_step(room):
        done = room.run("build", path)
    assert done.returncode == 6 and "the network" in done.stderr
    room.extra["IMAGEKIT_BUILD_NETWORK"] = "host"
    room.good("build", path)


def test_the_docker_command_never_gets_a_proxys_password_as_an_argument(room: Room) -> None:
    shim = room.folder / "bin/docker"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{room.folder}/arguments\nexec {shutil.which("docker")} "$@"\n')
    shim.chmod(0o755)
    path, _ = room.profile('env: {FROM: "a proxy with a password"}\n')
    room.extra |= {
        "PATH": f"{shim.parent}:{room.environment['PATH']}", "IMAGEKIT_BUILD_NETWORK": "host",
        "HTTP_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9", "NO_PROXY": "*",
    }  # fmt: skip
    room.run("build", path)
    arguments = (room.folder / "arguments").read_text()
    assert "--build-arg=HTTP_PROXY\n" in arguments and "--build-arg=http_proxy\n" in arguments
    assert PASSWORD not in arguments


def test_what_applies_and_what_does_not(room: Room) -> None:
    (room.folder / "imagekit.toml").write_text('[apt]\nmirror = "http://mirror.example/debian"\n')
    room.extra = {"IMAGEKIT_TAGS_BARE": "mine", "HTTPS_PROXY": f"http://me:{PASSWORD}@proxy.example:3128"}
    text = room.good("site").stdout
    assert PASSWORD not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["apt.mirror", "http://mirror.example/debian", "imagekit.toml"] in rows
    assert ["tags.bare", "mine", "$IMAGEKIT_TAGS_BARE"] in rows
    assert ["proxy.https", "http://***@proxy.example:3128", "$HTTPS_PROXY"] in rows


def test_no_login_is_on_a_command_line(private: Mirror, room: Room) -> None:
    """A uv that lists its arguments stands in for a look at the process list."""
    by(room, private, "env:COMPANY_LOGIN")
    path, _ = room.profile("")
    process = room.start("lock", path)
    seen = ""
    while process.poll() is None:
        seen += subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    process.communicate()
    assert process.returncode == 0 and "pip compile" in seen and PASSWORD not in seen
