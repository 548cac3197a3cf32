"""The docker command of `run` and `shell`: pure words, sorted options, ports, and a shell that takes it as it is."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imagekit import running, target
from imagekit.cli.run import command as run_command
from imagekit.errors import Surroundings, UsageError
from imagekit.running import Container, Options
from imagekit.target import Target

IMAGE = "pytorch:2.4.1-cuda12.1-tiny"


def said(_stage: str, _text: str) -> None:
    pass


class Engine:
    """What `prepared` asks of an engine."""

    endpoint = "the local socket"

    def __init__(
        self, features: str = "", gpu: bool = False, rootless: bool = False, there: bool = True,
        env: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.labels = {"io.imagekit.profile": "x", "io.imagekit.features": features}
        self.gpu, self.rootless, self.there, self.env = gpu, rootless, there, env

    @property
    def client(self) -> Any:
        options = ["name=seccomp", *(["name=rootless"] if self.rootless else [])]
        return type("Client", (), {"info": lambda _: {"MemTotal": 24 << 30, "SecurityOptions": options}})()

    def image(self, _: str) -> dict[str, Any] | None:
        return {"Id": "sha256:1", "Config": {"Labels": self.labels, "Env": self.env}} if self.there else None

    def has_gpu(self) -> bool:
        return self.gpu


@pytest.fixture(autouse=True)
def memlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.limits, "can_lock_memory", lambda *_: True)


def prepared(engine: Engine | None, *words: str, **options: Any) -> Container:
    return running.prepared(Target(IMAGE, "it"), words, Options(**options), engine, said)


def test_the_sites_mirror_of_the_hub_unless_somebody_said_otherwise() -> None:
    assert prepared(Engine(), hub="https://hub.example").env == ("HF_ENDPOINT=https://hub.example",)
    assert prepared(Engine(), hub="https://hub.example", env=("HF_ENDPOINT",)).env == ("HF_ENDPOINT",)
    own = Engine(env=["HF_ENDPOINT=https://own.example"])
    assert prepared(own, hub="https://hub.example", env=("A=1",)).env == ("A=1",)
    assert prepared(None, hub="https://hub.example").env == ("HF_ENDPOINT=https://hub.example",)


def test_the_whole_command() -> None:
    container = Container(
        IMAGE, ("python", "-c", "print('a b')"), gpus=True, shm=12 << 30, user="1000:0", cache="imagekit-cache-1000",
        folder="/home/me/work", ports=("8000:80",), env=("A=b c",), terminal="-it",
    )  # fmt: skip
    assert shlex.join(running.command(container)) == (
        "docker run --rm -it --gpus all --shm-size 12g --ulimit memlock=-1 --ulimit stack=67108864 -u 1000:0"
        " -v imagekit-cache-1000:/cache -v /home/me/work:/workspace -p 8000:80 -e 'A=b c'"
        f""" {IMAGE} python -c 'print('"'"'a b'"'"')'"""
    )


def test_what_is_not_wanted_is_not_there() -> None:
    words = running.command(Container(IMAGE, shm=512 << 20, memlock=False))
    assert words == [
        "docker", "run", "--rm", "--shm-size", "512m", "--ulimit", "stack=67108864", "-u", "1000:0", IMAGE,
    ]  # fmt: skip
    assert "--ipc" not in words


def test_a_folder_with_a_colon_and_a_comma_is_mounted_whole() -> None:
    words = running.command(Container(IMAGE, folder="/data/a:b,c"))
    assert words[words.index("--mount") + 1] == 'type=bind,"source=/data/a:b,c",target=/workspace'


@pytest.mark.parametrize(("memory", "share"), [(24 << 30, 12 << 30), (3 << 30, 1 << 30), (1 << 30, 512 << 20)])
def test_shared_memory_is_half_in_whole_units(memory: int, share: int) -> None:
    assert running.shared_memory(memory) == share


@pytest.mark.parametrize(("asked", "has", "given"), [
    ("auto", True, True), ("auto", False, False), ("all", False, True), ("none", True, False),
])  # fmt: skip
def test_gpus(asked: str, has: bool, given: bool) -> None:
    assert prepared(Engine(gpu=has), gpus=asked).gpus is given


def test_the_user_is_the_caller_with_group_0() -> None:
    assert prepared(Engine()).user == f"{os.getuid()}:0"
    assert prepared(Engine(rootless=True)).user == "0:0", "the caller's own id inside a rootless engine"
    assert prepared(Engine(), user="77").user == "77:0"
    assert prepared(Engine(), user="77:88").user == "77:88"
    with pytest.raises(UsageError, match="--user"):
        prepared(Engine(), user="7 --privileged")


def test_caches_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepared(Engine(), user="77").cache == "imagekit-cache-77", "nobody loads what another user compiled"
    assert prepared(Engine(), cache="none").cache == ""
    assert prepared(Engine(), cache="here").cache == str(tmp_path / "here")
    assert prepared(Engine()).folder == str(tmp_path)
    assert prepared(Engine(), mount=False).folder == ""


def test_ports_of_the_feature_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_free", lambda _: True)
    assert prepared(Engine("compile dev")).ports == ("127.0.0.1:8888:8888", "127.0.0.1:6006:6006")
    assert prepared(Engine("compile dev"), ports=("9999:8888",)).ports == ("9999:8888", "127.0.0.1:6006:6006")
    assert prepared(Engine("compile developer")).ports == ()


def test_a_port_that_is_taken_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        monkeypatch.setattr(running, "DEV", {theirs.getsockname()[1]: "jupyter"})
        assert prepared(Engine("dev")).ports == ()


def test_a_profile_that_was_not_built() -> None:
    with pytest.raises(UsageError) as error:
        running.prepared(Target(IMAGE, "it", "tiny"), (), Options(), Engine(there=False), said)
    assert error.value.hint == "imagekit build tiny makes it"


def test_an_id_cannot_be_pulled() -> None:
    with pytest.raises(UsageError, match="the engine has no image"):
        running.prepared(Target("sha256:12", "it"), (), Options(), Engine(there=False), said)
    assert prepared(Engine(there=False)).image == IMAGE, "a name may be, so docker tries"


def test_without_a_docker_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    container = Container(IMAGE, cache=str(tmp_path / "new/cache"))
    with pytest.raises(Surroundings, match="the docker command is missing"):
        running.execute(running.command(container), container)
    assert (tmp_path / "new/cache").is_dir(), "made by the caller: docker would make it root's"


def test_docker_takes_the_place_of_imagekit(tmp_path: Path) -> None:
    """Its exit code is ours, and so is its process."""
    shim = tmp_path / "docker"
    shim.write_text('#!/bin/sh\necho "$$ $*"\nexit 42\n')
    shim.chmod(0o755)
    program = (
        "import os; from imagekit import running; print(os.getpid(), flush=True);"
        "c = running.Container('a:b', ('x y',)); running.execute(running.command(c), c)"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    first, second = done.stdout.splitlines()
    assert done.returncode == 42 and second.startswith(f"{first} run --rm") and second.endswith("a:b x y")


@pytest.mark.parametrize(("given", "image", "words", "gpus"), [
    (["tiny"], "tiny", (), "auto"),
    (["tiny", "python", "-u", "x.py"], "tiny", ("python", "-u", "x.py"), "auto"),
    (["tiny", "--", "python", "-c", "1"], "tiny", ("python", "-c", "1"), "auto"),
    (["--gpus", "none", "tiny", "python", "--gpus"], "tiny", ("python", "--gpus"), "none"),
    (["tiny", "--gpus", "none", "--", "python", "-e"], "tiny", ("python", "-e"), "none"),
    (["tiny", "--gpus=none", "python", "-p", "8"], "tiny", ("python", "-p", "8"), "none"),
    (["tiny", "-e", "A", "--gpus", "none"], "tiny", (), "none"),
    (["tiny", "--", "--gpus", "all"], "tiny", ("--gpus", "all"), "auto"),
])  # fmt: skip
def test_options_of_the_command_are_the_commands(
    given: list[str], image: str, words: tuple[str, ...], gpus: str
) -> None:
    found = run_command.make_context("run", given).params
    assert (found["image_or_profile"], found["words"], found["gpus"]) == (image, words, gpus)


@pytest.mark.parametrize(("name", "reference"), [
    ("debian:bookworm", "debian:bookworm"), ("registry.example:5000/ml/x", "registry.example:5000/ml/x"),
    ("x@sha256:1", "x@sha256:1"), ("sha256:12", "sha256:12"),
])  # fmt: skip
def test_names_of_images(name: str, reference: str) -> None:
    found = target.find(name, None)
    assert found.reference == reference and "taken as an image" in found.taken_as


def test_names_of_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = target.find("video-llm", None)
    assert found.reference == "pytorch:2.4.1-cuda12.1-video-llm" and found.profile == "video-llm"
    assert "profile video-llm" in found.taken_as
    (tmp_path / "mine.yaml").write_text("extends: base\n")
    for name in ("./mine.yaml", "mine.yaml"):
        with pytest.raises(UsageError, match="taken as a profile, and it has no lock"):
            target.find(name, None)
    with pytest.raises(UsageError, match="there is no profile 'debian'") as error:
        target.find("debian", None)
    assert "debian:TAG" in error.value.hint
