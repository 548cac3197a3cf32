"""Images without an engine: the same files as BuildKit makes, the same bytes whoever makes them, loaded everywhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import registries
import requests
import rooms
import samples
import standins
from rooms import PATIENCE, Room, docker, files_of

TINY = "pytorch:2.4.1-cuda12.1-tiny"
Built = tuple[Room, "subprocess.CompletedProcess[str]"]
Composed = tuple[Room, "subprocess.CompletedProcess[str]"]

EXPLAINED = (
    "opt/venv/lib/python/site-packages/*.dist-info/INSTALLER",  # imagekit here, uv there
    "opt/venv/lib/python/site-packages/*.dist-info/RECORD",  # has the hash of INSTALLER
)


def _no_docker(room: Room) -> None:
    """No engine, and no command of one."""
    room.extra |= {"DOCKER_HOST": "unix:///nowhere.sock", "DOCKER_CONFIG": str(room.folder)}


@pytest.fixture(scope="module")
def composed(built: Built, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    """A room in which tiny was composed, proven and written, from the lock of `built`."""
    room = rooms.make(tmp_path_factory.mktemp("composed"), shared)
    shutil.copytree(built[0].folder / "locks", room.folder / "locks")  # one of another day is another image
    _no_docker(room)
    return room, room.good(
        "build", "tiny", "--engine", "compose", "--output", "oci:out", "--output", "archive:tiny.tar"
    )


def layout(folder: Path, tag: str = "2.4.1-cuda12.1-tiny") -> tuple[dict[str, object], dict[str, object]]:
    """(manifest, config) of a tag in an OCI layout, with every blob compared with its digest."""
    for blob in (folder / "blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    entries = json.loads((folder / "index.json").read_text())["manifests"]
    (digest,) = (e["digest"] for e in entries if e["annotations"]["org.opencontainers.image.ref.name"] == tag)
    manifest = json.loads((folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    config = json.loads((folder / "blobs/sha256" / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
    return manifest, config


def test_an_image_without_an_engine(composed: Composed) -> None:
    room, done = composed
    assert "prove    without an engine: namespaces of" in done.stderr and "static  19 pass" in done.stderr
    manifest, config = layout(room.folder / "out")
    layers, diff_ids = manifest["layers"], config["rootfs"]["diff_ids"]  # type: ignore[index]
    assert len(layers) == len(diff_ids) == len(config["history"]) <= 100  # type: ignore[arg-type]
    for layer, diff_id in zip(layers, diff_ids, strict=True):  # type: ignore[call-overload]
        blob = (room.folder / "out/blobs/sha256" / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert len(blob) == layer["size"]
        assert f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}" == diff_id
    assert done.stdout.startswith("oci:out:2.4.1-cuda12.1-tiny-")
    assert "profile   tiny" in room.good("inspect", done.stdout.strip()).stdout
    assert room.leftovers() == []


def test_again_nothing_is_made_and_the_image_is_the_same(composed: Composed) -> None:
    room, done = composed
    again = room.good("build", "tiny", "--engine", "compose", "--output", "oci:again")
    assert again.stdout == done.stdout.replace("oci:out:", "oci:again:")
    assert "the very same image was proven" in again.stderr
    assert layout(room.folder / "again") == layout(room.folder / "out")


def test_a_package_more_adds_its_layers_and_changes_its_bytecodes(composed: Composed) -> None:
    room, _ = composed
    path, name = room.profile("packages: [toolz]\n")
    room.good("build", path, "--engine", "compose", "--output", "oci:more", "--no-test")
    before, _ = layout(room.folder / "out")
    after, config = layout(room.folder / "more", f"2.4.1-cuda12.1-{name}")
    old = {row["digest"] for row in before["layers"]}  # type: ignore[attr-defined]
    told = [row["created_by"] for row in config["history"]]  # type: ignore[attr-defined]
    new = [line for line, row in zip(told, after["layers"], strict=True) if row["digest"] not in old]  # type: ignore[call-overload]
    assert [line.partition(" 1.")[0] for line in new if "bytecode" not in line] == [
        "imagekit: toolz",
        "imagekit: its own files",
    ]
    assert len(new) == 3 and "imagekit: bytecode of " in "".join(new)


def test_without_bytecode(composed: Composed) -> None:
    room, _ = composed
    call = ("build", "tiny", "--engine", "compose", "--no-pyc", "--fresh", "--json")
    done = json.loads(room.good(*call, "--output", "oci:bare").stdout)
    checks = {check["check"]: check for check in done["proof"]["checks"]}
    assert checks["bytecode"]["status"] == "SKIP" and "--no-pyc" in str(checks["bytecode"])
    assert done["proof"]["proven"] is True
    old, (bare, config) = layout(room.folder / "out")[0], layout(room.folder / "bare")
    told = [row["created_by"] for row in config["history"]]  # type: ignore[attr-defined]
    digests = [{row["digest"] for row in manifest["layers"]} for manifest in (old, bare)]  # type: ignore[attr-defined]
    assert not [line for line in told if "bytecode" in line]
    assert len(digests[1] - digests[0]) == 1, "only its own files, which say that it has none"


@pytest.fixture(params=["26.1", "20.10"])
def engine_of_tar(request: pytest.FixtureRequest, composed: Composed) -> Iterator[dict[str, str]]:
    """The environment of an engine that has loaded the archive."""
    environment = dict(os.environ)
    if request.param == "20.10":
        environment = request.getfixturevalue("old_engine")
    assert docker("version", "-f", "{{.Server.Version}}", env=environment).startswith(request.param)
    kept = docker("images", "-q", "--no-trunc", TINY, env=environment)
    docker("load", "-q", "-i", str(composed[0].folder / "tiny.tar"), env=environment)
    yield environment
    docker("rmi", "-f", docker("images", "-q", "--no-trunc", TINY, env=environment), env=environment)
    if kept:
        docker("tag", kept, TINY, env=environment)


def test_the_archive_loads_and_runs(composed: Composed, built: Built, engine_of_tar: dict[str, str]) -> None:
    said = docker(
        "run", "--rm", "--network=none", TINY, "python", "-c", "import tqdm; print(tqdm.__version__)", env=engine_of_tar
    )
    assert said and composed[0].lock().package("tqdm").version == said  # type: ignore[union-attr]
    _, config = layout(composed[0].folder / "out")
    assert docker("inspect", "-f", "{{json .Config.Env}}", TINY, env=engine_of_tar) == json.dumps(
        config["config"]["Env"], separators=(",", ":")
    )  # type: ignore[index]


def test_skopeo_and_umoci_read_what_is_written(composed: Composed, tmp_path: Path) -> None:
    """Other people's readers of the formats: every blob is checked by them on its way."""
    room, done = composed
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def skopeo(*arguments: str) -> str:
        call = ["skopeo", "--policy", str(policy), "--tmpdir", str(tmp_path), *arguments]
        return subprocess.run(call, cwd=room.folder, capture_output=True, text=True, check=True).stdout

    tag = "2.4.1-cuda12.1-tiny"
    manifest, config = layout(room.folder / "out")
    assert json.loads(skopeo("inspect", "--raw", done.stdout.strip())) == manifest
    assert json.loads(skopeo("inspect", "--config", f"oci:out:{tag}")) == config
    skopeo("copy", "-q", f"oci:out:{tag}", f"dir:{tmp_path / 'plain'}")
    # the archive is both: Docker's own form and a layout
    for source in ("docker-archive:tiny.tar", f"oci-archive:tiny.tar:{tag}"):
        place = tmp_path / source.partition(":")[0]
        skopeo("copy", "-q", source, f"oci:{place}:copy")
        _, copied = layout(place, "copy")
        assert copied["rootfs"] == config["rootfs"], source
    bundle = tmp_path / "bundle"
    call = ["umoci", "unpack", "--rootless", "--image", f"out:{tag}", str(bundle)]
    subprocess.run(call, cwd=room.folder, capture_output=True, text=True, check=True)
    assert (bundle / "rootfs/opt/venv/lib/python/site-packages/six.py").is_file()
    assert json.loads((bundle / "config.json").read_text())["process"]["args"][-1] == "python"


def configuration(image: str) -> dict[str, object]:
    found = json.loads(docker("inspect", "-f", "{{json .Config}}", image))
    names = ("User", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes")
    return {name: found[name] for name in names if found.get(name)} | {"Env": sorted(found["Env"])}


def test_the_same_files_as_buildkit(composed: Composed, built: Built) -> None:
    """The venv and the image's own files; the system is another run of apt, and is compared by its packages."""
    kept = built[1].stdout.strip()
    docker("load", "-q", "-i", str(composed[0].folder / "tiny.tar"))
    try:
        ours, theirs = files_of(TINY), files_of(kept)
        assert configuration(TINY) == configuration(kept)
    finally:
        docker("tag", kept, TINY)
    paths = {path for path in ours.keys() | theirs.keys() if path.startswith(("opt/", "workspace", "cache", "home/"))}
    different = {path for path in paths if ours.get(path) != theirs.get(path)}
    assert {path for path in different if not any(Path(path).match(pattern) for pattern in EXPLAINED)} == set()
    assert len(paths) > 1000


def names_at(host: str) -> set[str]:
    """But for lists of referrers."""
    listed = requests.get(f"http://{host}/v2/ml/pytorch/tags/list", timeout=10).json()["tags"]
    return {name for name in listed if not name.startswith("sha256-")}


def blobs(folder: Path) -> set[str]:
    return {path.parent.name for path in (folder / "data").rglob("_layers/sha256/*/link")}


def test_a_registry_gets_what_it_lacks_and_engines_run_it(
    composed: Composed, old_engine: dict[str, str], tmp_path: Path
) -> None:
    """Engine 26.1 and 20.10."""
    room, _ = composed
    manifest = layout(room.folder / "out")[0]
    layers: list[object] = manifest["layers"]  # type: ignore[assignment]
    with registries.served(tmp_path / "registry") as host:
        name = f"{host}/ml/pytorch"
        first = room.good("build", "tiny", "--engine", "compose", "--output", f"registry:{name}")
        assert "the very same image was proven" in first.stderr
        again = room.good("build", "tiny", "--engine", "compose", "--output", f"registry:{name}")
        assert f" 0 B sent, {len(layers) + 1} blobs there" in again.stderr
        beside = room.good("build", "tiny", "--engine", "compose", "--output", f"registry:{host}/ml/other")
        assert f" 0 B sent, {len(layers) + 1} blobs there" in beside.stderr, "taken over from the first repository"
        said = room.good("inspect", "--remote", f"{name}:2.4.1-cuda12.1-tiny", "--json").stdout
        found = json.loads(said)
        assert found["ours"] and found["labels"]["profile"] == "tiny" and "six" in found["packages"]
        assert [row["name"] for row in found["layers"]][-1] == "its own files" and found["on_top"] == 0
        gone = room.run("inspect", "--remote", f"{name}:nothing")
        assert gone.returncode == 2 and "there is no image" in gone.stderr
        image = str(manifest["config"]["digest"])  # type: ignore[index]
        place = f"registry:{name}:2.4.1-cuda12.1-tiny"
        assert "report attached" in first.stderr and "report" not in again.stderr
        assert " 0 of" in room.good("evidence", image, "--to", place).stderr
        assert "proven" in room.good("evidence", place, "--html", "proof.html").stdout
        before = blobs(tmp_path / "registry")
        path, _ = room.profile("packages: [toolz]\n")
        names = names_at(host)
        bare = room.good("build", path, "--engine", "compose", "--no-test", "--output", f"registry:{name}")
        assert "it gets no name: it is not proven" in bare.stderr and names_at(host) == names
        # its layer, its bytecode's, our own files, the config; its record, SBOM and provenance; no name without a proof
        assert len(blobs(tmp_path / "registry") - before) == 7
        tag = f"{name}:2.4.1-cuda12.1-tiny"
        try:
            for env in (dict(os.environ), old_engine):
                docker("pull", "-q", tag, env=env)
                told = docker("inspect", "-f", "{{index .RepoDigests 0}}", tag, env=env)
                assert told == again.stdout.strip() == first.stdout.strip() and told.startswith(f"{name}@sha256:")
                run = ("run", "--rm", "--network=none", tag, "python", "-c", "import six; print(six.PY3)")
                assert docker(*run, env=env) == "True"
        finally:
            for env in (dict(os.environ), old_engine):
                subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, check=False, env=env)


def test_a_registry_with_a_login_and_a_private_ca(composed: Composed, tmp_path: Path) -> None:
    room, _ = composed
    mine = rooms.make(tmp_path, room.index.parent)
    _no_docker(mine)
    shutil.copytree(room.folder / "locks", tmp_path / "locks")
    certificate, key = samples.certificate(tmp_path, "127.0.0.1")
    with registries.served(tmp_path / "registry", login=True, tls=(certificate, key)) as host:
        call = ("build", "tiny", "--engine", "compose", "--no-test", "--output", f"registry:{host}/ml/pytorch:mine")
        untrusted = mine.run(*call)
        assert untrusted.returncode == 4 and "is not trusted" in untrusted.stderr and "tls.ca" in untrusted.stderr
        rooms.trust(mine, certificate)
        unknown = mine.run(*call)
        assert unknown.returncode == 4 and f"docker login {host}" in unknown.stderr
        for password, code in (("wrong", 4), (registries.LOGIN[1], 0)):
            registries.log_in(tmp_path, host, password)
            said = mine.run(*call)
            assert said.returncode == code and registries.LOGIN[1] not in said.stderr, said.stderr
        assert f"{host}/ml/pytorch:mine" in said.stderr
    down = mine.run(*call)
    assert down.returncode == 4 and "broke off" in down.stderr and "Traceback" not in down.stderr


def test_two_at_once_in_one_cache_and_somebody_who_prunes_it(composed: Composed, tmp_path: Path) -> None:
    """From nothing: both end in the images that they are alone, and nothing is removed that they need."""
    mine = rooms.make(tmp_path, composed[0].index.parent)
    _no_docker(mine)
    shutil.copytree(composed[0].folder / "locks", tmp_path / "locks")
    path, name = mine.profile("env: {NOTE: two}\n")
    mine.good("lock", path)
    call = ("--engine", "compose", "--no-test", "--json", "--output")
    both = [mine.start("build", one, *call, f"oci:{out}") for one, out in (("tiny", "first"), (path, "second"))]
    while any(one.poll() is None for one in both):
        mine.good("cache", "prune", "--to", "0")
        time.sleep(0.5)
    done = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], [err for _, err in done]
    first, second = (json.loads(out) for out, _ in done)
    assert first["digest"] != second["digest"] and mine.leftovers() == []
    for place, profile in (("first", "tiny"), ("second", name)):
        assert f"profile   {profile}" in mine.good("inspect", f"oci:{place}").stdout
        proven = mine.good("test", f"oci:{place}", "--stage", "static")
        assert "what was asked for passed" in proven.stderr


def test_an_engine_gets_the_layers_that_it_lacks(built: Built, composed: Composed) -> None:
    room, _ = composed
    (room.folder / "engine").mkdir()
    here = rooms.make(room.folder / "engine", room.index.parent)
    shutil.copytree(room.folder / "locks", here.folder / "locks")
    path, name = here.profile("packages: [toolz]\n")
    tag = f"pytorch:2.4.1-cuda12.1-{name}"
    call = ("build", path, "--engine", "compose", "--no-test", "--output", "engine")
    first = here.good(*call)
    run = ("run", "--rm", "--network=none", first.stdout.strip(), "python", "-c", "import toolz; print(toolz.__name__)")
    assert docker(*run) == "toolz"
    here.profile('packages: [toolz]\nenv: {NOTE: "two"}\n', name)
    again = here.good(*call)
    assert "load     1 of " in again.stderr, "only its own files are new"
    assert docker("inspect", "-f", "{{.Config.Env}}", tag).count("NOTE=two") == 1
    assert first.stdout != again.stdout
    said = here.good("inspect", tag).stdout
    assert f"profile   {name}" in said and "on top" not in said


def test_what_it_cannot_do_is_said(composed: Composed, tmp_path: Path) -> None:
    room, _ = composed
    done = room.run("build", "tiny", "--engine", "compose")
    assert done.returncode == 2 and "--output oci:DIR" in done.stderr
    for text in ("oci", "oci:", "engine:x", "floppy:a", "registry:"):
        done = room.run("build", "tiny", "--engine", "compose", "--output", text)
        assert done.returncode == 2 and "is no place for an image" in done.stderr and "resolve" not in done.stderr
    for more, says in ((("--gpus", "all"), "needs an engine"), (("base",), "one profile at a time")):
        done = room.run("build", "tiny", "--engine", "compose", "--output", "oci:x", *more)
        assert done.returncode == 2 and says in done.stderr
    done = room.run("build", "tiny", "--engine", "classic", "--output", "oci:x")
    assert done.returncode == 2 and "--output is for --engine compose" in done.stderr
    (room.folder / "full").mkdir()
    (room.folder / "full/work").write_text("mine")
    done = room.run("build", "tiny", "--engine", "compose", "--no-test", "--output", "oci:full")
    assert done.returncode == 2 and "full is no OCI layout" in done.stderr
    assert [path.name for path in (room.folder / "full").iterdir()] == ["work"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("point", ["layers", "tree"])
def test_interrupted(built: Built, shared: Path, tmp_path: Path, number: signal.Signals, point: str) -> None:
    """While layers are made and while the image is proven: nothing is left, or it goes with the next one."""
    mine = rooms.make(tmp_path, shared)
    _no_docker(mine)
    shutil.copytree(built[0].folder / "locks", tmp_path / "locks")
    if point == "layers":
        for key in (mine.cache / "imagekit/layers/keys").glob("[0-9a-f]*.json"):  # all but the system's
            key.unlink()
    process = mine.start("build", "tiny", "--engine", "compose", "--fresh", "--output", "oci:out")
    wanted = {"layers": "*-layer-*", "tree": "*-tree-*/root/opt"}[point]
    ends = time.monotonic() + PATIENCE
    while not list((mine.cache / "imagekit/tmp").glob(f"{process.pid}-{wanted[2:]}")):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
    assert not (tmp_path / "out").exists()
    mine.good("build", "tiny", "--engine", "compose", "--output", "oci:out")
    assert mine.leftovers() == []
    running = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert f"{mine.cache}/imagekit/tmp/{process.pid}-" not in running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_interrupted_while_the_system_is_made_beside(
    built: Built, shared: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """mmdebstrap runs in another thread: it ends with imagekit, and leaves no mounts."""
    mine = rooms.make(tmp_path, shared)
    _no_docker(mine)
    mine.extra["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    shutil.copytree(built[0].folder / "locks", tmp_path / "locks")
    process = mine.start("build", "tiny", "--engine", "compose", "--output", "oci:out")
    ends = time.monotonic() + PATIENCE
    while not list((tmp_path / "cache/imagekit/tmp").glob(f"{process.pid}-system-*/mmdebstrap.*/usr")):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=90)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
    ends = time.monotonic() + 30
    while str(tmp_path) in (said := subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout):
        assert time.monotonic() < ends, said  # killed by the kernel, when its parent is gone
        time.sleep(0.1)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert number == signal.SIGKILL or not list((tmp_path / "cache/imagekit/tmp").iterdir())


def test_an_image_that_is_not_proven_is_not_written(composed: Composed, tmp_path: Path) -> None:
    room, _ = composed
    path, _ = room.profile("env: {LANG: C}\n")
    with registries.served(tmp_path / "registry") as host:
        outputs = ("--output", "oci:bad", "--output", f"registry:{host}/ml/pytorch")
        done = room.run("build", path, "--engine", "compose", *outputs)
    assert not [place for place in tmp_path.rglob("_manifests/*/*") if place.name != "sha256"]
    assert done.returncode == 5 and "LANG=C is not UTF-8" in done.stderr and "no image was written" in done.stderr
    assert not (room.folder / "bad").exists() and room.leftovers() == []


LOOPBACK = """
import socket

def check_network():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
"""


def test_ranks_can_talk_in_a_room_and_nobody_else(composed: Composed) -> None:
    room, _ = composed
    path, _ = room.profile("checks: [network.py]\n")
    (room.folder / path).with_name("network.py").write_text(LOOPBACK)
    done = room.good("build", path, "--engine", "compose", "--output", "oci:network", "--json")
    statuses = {check["check"]: check["status"] for check in json.loads(done.stdout)["proof"]["checks"]}
    assert [status for name, status in statuses.items() if name.endswith("network")] == ["PASS"], statuses


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[str, Path]]:
    """(name, a folder of theirs) of somebody who is not root and shares no Python with root; with imagekit installed."""
    if os.getuid():
        pytest.skip("only root can make another user")
    name = "imagekit-tester"
    subprocess.run(["useradd", "--create-home", name], check=True)
    place = Path(tempfile.mkdtemp(prefix="imagekit-stranger-"))
    try:
        place.chmod(0o755)
        venv = place / "venv"
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--python", "/usr/bin/python3", str(venv)], check=True)
        source = Path(__file__).parents[2]
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(venv / "bin/python"), str(source)], check=True)
        room = place / "room"
        room.mkdir()
        standins.index(place)
        standins.site_file(room, (place / "simple").as_uri())
        subprocess.run(["chmod", "-R", "a+rX", str(place)], check=True)
        shutil.chown(room, name)
        yield name, room
    finally:
        subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)
        shutil.rmtree(place, ignore_errors=True)


def test_anybody_can_on_a_machine_without_an_engine(stranger: tuple[str, Path], composed: Composed) -> None:
    """And the layers of wheels are the same, in another folder, of another user, umask and time zone."""
    name, room = stranger
    shutil.copytree(composed[0].folder / "locks", room / "locks")  # one made where it is another day would be another
    subprocess.run(["chown", "-R", name, str(room)], check=True)
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": f"/home/{name}", "TZ": "Asia/Tokyo", "LANG": "C", "DOCKER_HOST": "unix:///nowhere.sock",
        **{key: value for key, value in os.environ.items() if key in ("SSL_CERT_FILE", "PIP_CERT", "RES_OPTIONS", "PIP_INDEX_URL")},
    }  # fmt: skip
    script = f"umask 077; cd {room}; exec {room.parent}/venv/bin/imagekit build tiny --engine compose --output oci:out"
    call = ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "sh", "-c", script]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "namespaces of users, mounts" in done.stderr and "static  19 pass" in done.stderr
    theirs, ours = layout(room / "out"), layout(composed[0].folder / "out")
    blobs = [[row["digest"] for row in one[0]["layers"]] for one in (ours, theirs)]  # type: ignore[attr-defined]
    assert blobs[0] == blobs[1]
    # the system too: two runs of mmdebstrap, by root and by somebody, of one day's packages
    assert ours[1]["rootfs"] == theirs[1]["rootfs"]
