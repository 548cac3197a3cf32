"""Names of images in registries, and who somebody is for one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from registry_double import Registry, served

from imagekit import remote
from imagekit import site as sites
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import connect, login, reference, wire
from imagekit.oci.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(("text", "found"), [
    ("registry.example/ml/pytorch", Reference("registry.example", "ml/pytorch")),
    ("registry.example:5000/pytorch:2.4.1-cuda12.1", Reference("registry.example:5000", "pytorch", "2.4.1-cuda12.1")),
    ("localhost/a__b/c-d.e", Reference("localhost", "a__b/c-d.e")), ("[::1]:5000/x:y", Reference("[::1]:5000", "x", "y")),
    ("registry-1.docker.io/me/x:1", Reference("registry-1.docker.io", "me/x", "1")),
    (f"127.0.0.1:5000/x:t@{DIGEST}", Reference("127.0.0.1:5000", "x", "t", DIGEST)),
])  # fmt: skip
def test_names(text: str, found: Reference) -> None:
    assert reference.parse(text) == found and str(found) == text


@pytest.mark.parametrize(("text", "says"), [
    ("pytorch:2.4.1", "names no registry"), ("ml/pytorch", "names no registry"), ("", "names no registry"),
    ("registry.example/", "no repository"), ("registry.example/ML/x", "lower case"), ("registry.example/a//b", "no repository"),
    ("registry.example/a:", "no tag"), ("registry.example/a:-x", "no tag"), ("registry.example/a:" + "x" * 129, "no tag"),
    ("registry.example/a@sha256:abc", "no digest"), ("registry.example/a@", "no digest"), ("host:port/a", "no host"),
    ("u:p@registry.example/a", "names no registry"), ("-x.example/a", "no host"),
])  # fmt: skip
def test_what_is_no_name(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        reference.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(("host", "here"), [
    ("localhost", True), ("localhost:5000", True), ("127.0.0.1", True), ("127.8.9.1:80", True), ("[::1]:5000", True),
    ("[::1]", True), ("registry.example:5000", False), ("10.0.0.1:5000", False), ("127.0.0.1.example", False),
    ("localhost.example", False),
])  # fmt: skip
def test_this_machine(host: str, here: bool) -> None:
    assert connect.loopback(host) is here


def test_without_tls_only_here_and_where_a_site_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Registry()) as there:
        name = reference.parse(f"{there.address}/ml/pytorch:a")
        assert connect.to(name).wire.plain
        monkeypatch.setattr(connect, "loopback", lambda _: False)
        monkeypatch.setattr(wire.Wire, "rest", lambda *_: None)
        with pytest.raises(Surroundings):
            connect.to(name).digest_of("a")
        assert connect.to(name, without_tls=[there.address]).digest_of("a") == ""
        site = sites.load(None, {"IMAGEKIT_REGISTRY_PLAIN": f"other.example,{there.address}"})
        assert remote.repository(name, site).digest_of("a") == ""


def config(folder: Path, **rows: object) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(rows))
    return {"DOCKER_CONFIG": str(folder), "NETRC": str(folder / "netrc")}


def basic(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_logins_of_docker(tmp_path: Path) -> None:
    auths = {
        "registry.example:5000": basic("ada:pass:word"), "https://old.example/v2/": basic("bob:x"),
        "token.example": {"auth": "", "identitytoken": "abc"}, "empty.example": {},
    }  # fmt: skip
    environment = config(tmp_path, auths=auths)
    found = login.find("registry.example:5000", environment)
    assert found == login.Login("ada", "pass:word") and "word" not in repr(found)
    assert login.find("old.example", environment) == login.Login("bob", "x")
    assert login.find("token.example", environment) == login.Login("", "", "abc")
    assert login.find("empty.example", environment) is None and login.find("none.example", environment) is None


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert str(reference.parse("docker.io/pytorch:1")) == "registry-1.docker.io/library/pytorch:1"
    assert str(reference.parse("docker.io/me/pytorch:1")) == "registry-1.docker.io/me/pytorch:1"
    environment = config(tmp_path, auths={"https://index.docker.io/v1/": basic("ada:x")})
    assert login.find("registry-1.docker.io", environment) == login.Login("ada", "x")
    assert login.find(
        "registry.example", config(tmp_path, auths={"https://registry.example/": basic("b:y")})
    ) == login.Login("b", "y")


def test_netrc_comes_after(tmp_path: Path) -> None:
    environment = config(tmp_path)
    (tmp_path / "netrc").write_text("machine registry.example login ada password secret\n")
    assert login.find("registry.example:5000", environment) == login.Login("ada", "secret")
    assert login.find("registry.example", environment) == login.Login("ada", "secret")


HELPERS = {
    "good": ("""echo '{"ServerURL":"x","Username":"ada","Secret":"s3cret"}'""", login.Login("ada", "s3cret")),
    "token": ("""echo '{"Username":"<token>","Secret":"s3cret"}'""", login.Login("", "", "s3cret")),
    "none": ("echo 'credentials not found in native keychain'; exit 1", None),
}


@pytest.mark.parametrize("name", HELPERS)
def test_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    script, expected = HELPERS[name]
    program(tmp_path, monkeypatch, name, script)
    environment = config(tmp_path, credHelpers={"registry.example": name})
    assert login.find("registry.example", environment) == expected
    assert login.find("registry.example", config(tmp_path, credsStore=name)) == expected


@pytest.mark.parametrize("script", ["echo s3cret; exit 3", "echo s3cret", "echo '[]'", "exit 127"])
def test_a_helper_that_fails_is_named_and_its_words_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program(tmp_path, monkeypatch, "bad", script)
    with pytest.raises(Surroundings, match="docker-credential-bad") as caught:
        login.find("registry.example", config(tmp_path, credsStore="bad"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("helper", ["nowhere", "../../bin/sh", "a b"])
def test_a_helper_that_is_none(tmp_path: Path, helper: str) -> None:
    with pytest.raises(Surroundings, match="not installed|no name of one"):
        login.find("registry.example", config(tmp_path, credsStore=helper))


@pytest.mark.parametrize("text", ["{", '{"auths": {"registry.example": {"auth": "!!"}}}'])
def test_a_damaged_store(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Surroundings):
        login.find("registry.example", {"DOCKER_CONFIG": str(tmp_path)})


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
