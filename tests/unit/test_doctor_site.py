"""What the doctor says of registries and indexes, and of what can run on a machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import doctor_hosts as hosts
import pytest
from doctor_hosts import Fake, bare, docker, examined, hgx_h100, labelled, node, one
from samples import Answer, server

from imagekit import assemble
from imagekit.doctor import examination, preflight
from imagekit.doctor.checks import indexes, registry, runs
from imagekit.errors import Surroundings

# registry and indexes


SECRET = "bWU6czNjcmV0"
PUSH = {"registry": {"push": "harbor.example/ml-staging", "prod": "harbor.example/ml"}}


@pytest.mark.parametrize(("config", "status"), [
    ({"auths": {"harbor.example": {"auth": SECRET}}}, "OK"),
    ({"auths": {"https://harbor.example/v2/": {"auth": SECRET}}}, "OK"),
    ({"auths": {"harbor.example": {"identitytoken": SECRET}}}, "OK"),
    ({"auths": {"harbor.example.org": {"auth": SECRET}}}, "WARN"),
    ({"auths": {"harbor.example": {}}}, "WARN"),
    ({}, "WARN"), (None, "WARN"),
    ({"auths": {"harbor.example": {}}, "credsStore": "pass"}, "OK"),
    ({"auths": {"harbor.example": {"auth": SECRET}}, "credsStore": "empty"}, "WARN"),
    ({"credsStore": "secretservice"}, "FAIL"),
    ({"credHelpers": {"harbor.example": "pass"}}, "OK"),
])  # fmt: skip
def test_a_login_of_the_registry(config: dict[str, Any] | None, status: str) -> None:
    files = {"/home/me/.docker/config.json": json.dumps(config)} if config is not None else {}
    commands = {
        "docker-credential-pass list": '{"harbor.example": "robot$imagekit"}\n',
        "docker-credential-empty list": "{}\n",
    }
    found = one(registry.check, Fake(files, commands, settings=PUSH))
    assert found.status == status, found
    assert "registry.push, registry.prod" in found.message
    assert SECRET not in str(found) and "robot" not in str(found), "neither the login nor its user is told"
    assert ("docker login harbor.example" in found.remedy) == (status != "OK")


def test_a_damaged_configuration_of_docker() -> None:
    found = one(registry.check, Fake({"/etc/docker-of-ci/config.json": "{"}, settings=PUSH, environ={
        "DOCKER_CONFIG": "/etc/docker-of-ci",
    }))  # fmt: skip
    assert found.status == "FAIL" and "/etc/docker-of-ci/config.json is not JSON" in found.message


@pytest.mark.parametrize(("repository", "name"), [
    ("harbor.example/ml", "harbor.example"), ("localhost:5000/x", "localhost:5000"), ("localhost/x", "localhost"),
    ("team/pytorch", "docker.io"), ("pytorch", "docker.io"),
])  # fmt: skip
def test_the_registry_of_a_repository(repository: str, name: str) -> None:
    assert registry.name_of(repository) == name


def test_every_index_of_the_site_is_asked() -> None:
    settings = {"indexes": {
        "company": {"url": "https://pypi.example/acme/simple", "only": ["acme-*"]},
        "video": {"url": "https://pypi.example/video/simple", "only": ["acme-clip"]},
    }}  # fmt: skip
    refused = Surroundings("the index company refuses the login (401)", hint="is the password still valid?")
    asked = Fake(settings=settings, indexes={"company": refused})
    found = list(indexes.check(asked))
    assert asked.asked == [("pypi", "six"), ("pytorch", "torch"), ("company", ""), ("video", "acme-clip")]
    assert [finding.status for finding in found] == ["OK", "OK", "FAIL", "OK"]
    assert found[2].message == refused.message and found[2].remedy == refused.hint
    assert "pypi.example" not in str(found)


def test_an_index_of_torch_that_does_not_answer_keeps_nobody_from_building() -> None:
    silent = Surroundings("the index pytorch does not answer (ConnectionError)")
    findings = examined(bare(indexes={"pytorch": silent}))
    assert [finding.status for finding in findings if finding.name == "index"] == ["OK", "WARN"]
    assert examination.verdict(findings).build == ""


@pytest.mark.parametrize(("answer", "package", "words"), [
    ((200, b'<a href="six-1.0-py3-none-any.whl">six</a>'), "six", ""),
    ((404, b""), "six", "no package named six"),
    ((401, b""), "six", "asks for a login"),
    ((503, b""), "", "fails (503)"),
    ((404, b""), "", ""),  # an index need not list its packages
    ((200, b"<html>log in</html>"), "six", "a login page, perhaps"),
])  # fmt: skip
def test_an_index_is_asked_once(answer: Answer, package: str, words: str, tmp_path: Path) -> None:
    from imagekit import index, site

    asked: list[str] = []
    with server(lambda path: asked.append(path) or answer) as url:
        the_site = site.load(None, {"IMAGEKIT_INDEXES_COMPANY_URL": f"{url}/simple", "HOME": str(tmp_path)})
        error = index.reachable(the_site, "company", "", package, 5)
    assert len(asked) == 1
    assert (error is None) == (not words) and (not error or words in error.message)


def test_an_index_that_is_a_folder(tmp_path: Path) -> None:
    from imagekit import index, site

    the_site = site.load(None, {"IMAGEKIT_INDEXES_COMPANY_URL": tmp_path.as_uri(), "HOME": str(tmp_path)})
    assert index.reachable(the_site, "company", "", "", 5) is None
    the_site = site.load(None, {"IMAGEKIT_INDEXES_COMPANY_URL": f"{tmp_path.as_uri()}/gone", "HOME": str(tmp_path)})
    assert "is no folder" in str(index.reachable(the_site, "company", "", "", 5))


# what can run here


def test_a_driver_that_is_too_old_for_an_image_and_for_a_profile() -> None:
    found = {f.figures["name"]: f for f in runs.check(node("470.57.02", "Tesla V100-SXM2-32GB", 32510, "7.0"))}
    image = found["pytorch:2.4.1-cuda12.1"]
    assert image.status == "WARN" and "needs driver 525.60.13 or newer" in image.message
    profile = found["video-llm"]
    assert profile.status == "WARN" and "imagekit build video-llm --cuda 11." in profile.remedy


def test_an_image_that_is_still_being_built_is_not_judged() -> None:
    assert f"{assemble.MEANWHILE}:" == runs.BUILDING
    unfinished = {**labelled(), "RepoTags": ["imagekit-building:28336-image-jx32pbvw"]}
    machine = hgx_h100(engine=docker(images=(unfinished, {**labelled(), "RepoTags": None}, labelled())))
    assert [f.figures["name"] for f in runs.check(machine) if f.name == "image"] == ["pytorch:2.4.1-cuda12.1"]


def test_a_gpu_that_is_not_compiled_in() -> None:
    found = {f.figures["name"]: f for f in runs.check(node("580.95.05", "NVIDIA B200", 183359, "10.0"))}
    image = found["pytorch:2.4.1-cuda12.1"]
    assert image.status == "WARN" and "not compiled for NVIDIA B200 (sm_100)" in image.message
    assert "--cuda 13." in found["video-llm"].remedy


def test_a_cpu_that_is_too_old() -> None:
    old = node(
        "570.195.03", "NVIDIA H100 80GB HBM3", 81559, "9.0", files={"/proc/cpuinfo": "flags\t\t: sse4_1 ssse3\n"}
    )
    image = next(f for f in runs.check(old) if f.name == "image")
    assert image.status == "WARN" and "lacks" in image.message and "avx2" in image.message


def test_what_runs_is_what_the_preflight_of_the_image_would_say() -> None:
    start = preflight.program()
    for machine in (
        node("470.57.02", "Tesla V100-SXM2-32GB", 32510, "7.0"),
        node("570.195.03", "NVIDIA H100", 81559, "9.0"),
    ):
        capability = "7.0" if "V100" in str(machine.commands) else "9.0"
        seen = preflight.node(
            [("GPU", 1 << 35, capability)], machine.read("/sys/module/nvidia/version").strip(), hosts.CPU_V3
        )
        facts = {"min_driver": "525.60.13", "gpu_architectures": ["sm_70", "sm_90"], "cpu_level": "x86-64-v3"}
        _, code = start.decide(facts, seen, "")
        image = next(f for f in runs.check(machine) if f.name == "image")
        assert image.figures["runs"] is (code == 0)
