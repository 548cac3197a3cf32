"""An engine that is not there, that is not ours to use, that is too old, or that answers nonsense."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from samples import Answer, server

from imagekit import cli
from imagekit.engines import docker_api
from imagekit.engines.docker_api import Engine
from imagekit.engines.endpoint import Endpoint
from imagekit.errors import Surroundings, UsageError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No context or settings of the machine's own docker command."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def refused(monkeypatch: pytest.MonkeyPatch, host: str) -> Surroundings:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(Surroundings) as error:
        Engine()
    return error.value


def daemon(version: str, more: dict[str, Answer] | None = None):  # type: ignore[no-untyped-def]
    """A server that says it is an engine of that version."""
    answers = {"/version": (200, json.dumps({"Version": version, "ApiVersion": "1.41"}).encode()), **(more or {})}

    def answer(path: str) -> Answer:
        return next(
            (found for end, found in answers.items() if path.endswith(end)), (404, b'{"message": "no such thing"}')
        )

    return answer


def test_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = refused(monkeypatch, f"unix://{tmp_path}/no.sock")
    assert error.message == "no Docker Engine answers" and "systemctl start docker" in error.hint


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert refused(monkeypatch, f"tcp://127.0.0.1:{port}").message == "no Docker Engine answers"


def test_a_socket_that_this_user_may_not_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root may use every socket, so the refusal is played."""

    def connect(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = refused(monkeypatch, f"unix://{tmp_path}/some.sock")
    assert "may not talk" in error.message and "usermod -aG docker" in error.hint


@pytest.mark.parametrize("host", ["nonsense://x", "unix//x", "tcp://127.0.0.1:99999"])
def test_a_docker_host_that_is_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    error = refused(monkeypatch, host)
    assert error.exit_code == 4 and "DOCKER_HOST" in error.hint


@pytest.mark.parametrize("version", ["19.03.15", "1.13.1", "18.09.9-ce", "20.03"])
def test_an_engine_that_is_too_old(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    with server(daemon(version)) as url:
        error = refused(monkeypatch, url.replace("http", "tcp"))
    assert version in error.message and "20.10" in error.message


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "23.0.0-rc.1", "28.2.2", "26.1.5+dfsg1"])
def test_engines_that_will_do(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    with server(daemon(version)) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        engine = Engine()
    assert engine.version == version and "127.0.0.1" in engine.endpoint


@pytest.mark.parametrize("body", [b"<html>a proxy</html>", b"{}", b"[]", b""])
def test_something_that_is_not_an_engine(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with server(lambda path: (200, body)) as url:
        assert refused(monkeypatch, url.replace("http", "tcp")).exit_code == 4


def test_an_engine_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {
        "/images/a:b/json": (500, b'{"message": "disk trouble"}'),
        "/info": (200, b'{"DockerRootDir": "/nowhere"}'),
    }
    with server(daemon("26.1.5", broken)) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        engine = Engine()
        assert engine.image("c:d") is None
        assert engine.free_disk() is None
        assert engine.has_gpu() is False
        with pytest.raises(Surroundings, match="disk trouble"):
            engine.image("a:b")


def test_the_command_line_tells_it_and_leaves_with_4(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    for arguments in (["test", "pytorch:some-image"], ["build", "tiny"], ["base", "bootstrap"]):
        monkeypatch.setattr(sys, "argv", ["imagekit", *arguments])
        assert cli.execute() == 4
        out, err = capsys.readouterr()
        assert out == "" and "no Docker Engine answers" in err and "Traceback" not in err
    assert not Path("locks").exists(), "a build asks for the engine before it locks"


def test_tags_are_split_at_the_last_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Api:
        def tag(self, *arguments: object) -> None:
            asked.append(arguments)

    engine = Engine.__new__(Engine)
    engine.client = type("Client", (), {"api": Api()})()
    engine.tag("sha256:1", "registry.example:5000/ml/pytorch:2.4.1")
    assert asked == [("sha256:1", "registry.example:5000/ml/pytorch", "2.4.1")]
    assert docker_api.OLDEST == (20, 10)


def test_ssh_without_paramiko(monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-py imports it even where the machine's own ssh is used."""
    from docker.api import client

    monkeypatch.delattr(client, "SSHHTTPAdapter", raising=False)
    error = refused(monkeypatch, "ssh://me@engine.example")
    assert "without paramiko" in error.message and "docker[ssh]" in error.hint and "ssh -nNTL" in error.hint


@pytest.mark.parametrize(("name", "host", "seen"), [
    (socket.gethostname(), "unix:///run/some.sock", True),
    ("elsewhere", "unix:///run/a-tunnel.sock", False),
    (socket.gethostname(), "tcp://engine.example:2376", False),
])  # fmt: skip
def test_a_disk_of_another_machine_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, host: str, seen: bool
) -> None:
    """Its folder may be here as well, and is another one."""
    answer = {"/info": (200, json.dumps({"DockerRootDir": str(tmp_path), "Name": name}).encode())}
    with server(daemon("26.1.5", answer)) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        engine = Engine()
        engine.at = Endpoint(host)
        assert (engine.free_disk() is not None) == seen


def test_a_name_that_no_image_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {"/images/bad%20ref/json": (400, b'{"message": "invalid reference format"}')}
    with server(daemon("26.1.5", bad)) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        engine = Engine()
        assert engine.image("good:1") is None
        with pytest.raises(UsageError, match="'bad ref' is no name of an image"):
            engine.image("bad ref")
