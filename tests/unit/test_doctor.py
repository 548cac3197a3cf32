"""What the doctor says of machines that are well and of machines that are not; of their engine, and of himself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import doctor_hosts as hosts
import pytest
from doctor_hosts import HUNG, bad, bare, desktop, docker, examined, hgx_h100, labelled, mixed, node, one
from samples import Answer, server

from imagekit import cli
from imagekit.doctor import examination, host, preflight
from imagekit.doctor.check import Finding, version
from imagekit.doctor.checks import engine, seccomp, system
from imagekit.doctor.host import Host, Ran, Space
from imagekit.engines import look
from imagekit.engines.endpoint import unreachable

# whole machines


def test_a_machine_that_is_well() -> None:
    findings = examined(hgx_h100())
    assert bad(findings) == []
    assert str(examination.verdict(findings)) == "can build here: yes; can run on a GPU here: yes"
    said = "\n".join(examination.answer(findings))
    assert "8 x NVIDIA H100 80GB HBM3, 85.5 GB, compute capability 9.0 (sm_90), ECC on, persistence on" in said
    assert "NVLink: 28 of 28 pairs NV18" in said and "the NVLink fabric is complete" in said
    assert "2 ports active: 2 x 400 Gb/sec (InfiniBand)" in said
    assert "video-llm runs here (torch 2.4.1 CUDA 12.1)" in said
    assert said.isascii()


def test_a_machine_without_a_gpu_is_no_error() -> None:
    findings = examined(bare(spaces={"/var/lib/docker": Space(10**12, 10**11)}))
    assert not examination.failed(findings)
    for name in ("driver", "gpu", "toolkit"):
        assert {f.status for f in findings if f.name == name} == {"SKIP"}, name
    assert examination.answer(findings)[-1] == ("can build here: yes; can run on a GPU here: no, no NVIDIA driver here")
    assert {f.status for f in findings if f.name in ("engine", "disk", "shm", "glibc", "index")} == {"OK"}


def test_podman_is_named_and_still_asked_for_gpus() -> None:
    findings = examined(desktop(engine=hosts.PODMAN, commands={"nvidia-ctk --version": hosts.CTK}))
    first = findings[0]
    assert (first.name, first.status) == ("engine", "FAIL") and "podman 5.4.0" in first.message
    assert "imagekit render" in first.remedy
    assert [f.name for f in findings if f.name in ("builder", "storage", "disk", "seccomp")] == []
    (cdi,) = [finding for finding in findings if finding.name == "cdi"]
    assert cdi.status == "FAIL" and "nvidia-ctk cdi generate" in cdi.remedy
    verdict = examination.verdict(findings)
    assert verdict.build.startswith("podman 5.4.0 answers") and verdict.gpu == ""


def test_a_socket_that_is_not_ours() -> None:
    findings = examined(bare(engine=hosts.NO_PERMISSION))
    assert "may not talk to the Docker Engine" in findings[0].message and "usermod -aG docker" in findings[0].remedy
    assert examination.failed(findings) and "may not talk" in examination.verdict(findings).build
    assert [f.name for f in findings if f.name in ("builder", "storage", "disk", "seccomp")] == []


# the engine


def test_an_engine_that_is_not_there() -> None:
    """docker-py's words: https://github.com/docker/docker-py/issues/3219"""
    reason = "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"
    gone = look.Look("unix:///run/none.sock (DOCKER_HOST)", unreachable(reason))
    found = one(engine.check, bare(engine=gone))
    assert found.message == (
        "no Docker Engine answers at unix:///run/none.sock (DOCKER_HOST); No such file or directory"
    )
    assert found.status == "FAIL" and "systemctl start docker" in found.remedy


def test_two_engines_are_named_both() -> None:
    found = one(engine.check, bare(engine=hosts.TWO_ENGINES))
    assert (
        "tcp://build.example:2376 (context build)" in found.message and "unix:///var/run/docker.sock" in found.message
    )
    assert found.remedy.startswith("export DOCKER_HOST=")


@pytest.mark.parametrize(("number", "status"), [
    ("19.03.15", "FAIL"), ("20.10.24+dfsg1", "OK"), ("26.1.5+dfsg1", "OK"), ("28.0.0-rc.1", "OK"),
])  # fmt: skip
def test_old_engines(number: str, status: str) -> None:
    assert one(engine.check, bare(engine=docker(number)), "engine").status == status


@pytest.mark.parametrize(("info", "status", "words"), [
    ({}, "OK", "overlay2 on extfs"),
    ({"Driver": "vfs", "DriverStatus": []}, "WARN", "whole copy"),
    ({"DriverStatus": [["Backing Filesystem", "xfs"], ["Supports d_type", "false"]]}, "FAIL", "d_type"),
    ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "OK", "overlayfs"),
])  # fmt: skip
def test_storage_drivers(info: dict[str, Any], status: str, words: str) -> None:
    found = one(engine.check, bare(engine=docker(**info)), "storage")
    assert found.status == status and words in found.message and bool(found.remedy) == (status != "OK")


@pytest.mark.parametrize(("free", "status"), [
    (100 * 10**9, "OK"), (10 * 10**9, "WARN"), (10**9, "FAIL"), (None, "SKIP"),
])  # fmt: skip
def test_disk(free: int | None, status: str) -> None:
    spaces = {"/var/lib/docker": Space(10**12, free)} if free is not None else {}
    assert one(engine.check, bare(spaces=spaces), "disk").status == status


def test_without_buildkit_the_classic_builder_is_left() -> None:
    without = look.Look(
        "x", None, {"Version": "26.1.5"}, {}, (), "docker 26.1.5 builds with BuildKit through buildx only"
    )
    found = one(engine.check, bare(engine=without), "builder")
    assert found.status == "WARN" and "classic builder" in found.message and "docker-buildx" in found.remedy


@pytest.mark.parametrize(("number", "glibc", "status"), [
    ("20.10.9", "2.36", "FAIL"), ("20.10.10", "2.36", "OK"), ("20.10.9", "2.31", "OK"), ("26.1.5+dfsg1", "2.41", "OK"),
])  # fmt: skip
def test_threads_of_a_new_glibc_need_a_new_engine(number: str, glibc: str, status: str) -> None:
    labels = {"io.imagekit.profile": "p", "io.imagekit.glibc": glibc}
    images = ({"RepoTags": ["pytorch:x"], "Id": "sha256:1", "Labels": labels},)
    settings = {"base": {"default": "distro:bullseye"}}  # glibc 2.31
    found = one(seccomp.check, bare(engine=docker(number, images=images), settings=settings))
    assert found.status == status, found
    if status == "FAIL":
        assert "can't start new thread" in found.message and "20.10.10" in found.remedy


def test_an_old_libseccomp() -> None:
    said = "runc version 1.0.0-rc10\nspec: 1.0.1-dev\nlibseccomp: 2.3.3\n"
    found = one(seccomp.check, bare(commands={"runc --version": said}))
    assert found.status == "WARN" and "libseccomp 2.3.3" in found.message
    features = json.dumps({"annotations": {"io.github.seccomp.libseccomp.version": "2.5.4"}})
    newer = docker(Runtimes={"runc": {"status": {"org.opencontainers.runtime-spec.features": features}}})
    assert one(seccomp.check, bare(engine=newer, commands={"runc --version": said})).figures["libseccomp"] == "2.5.4"


def test_an_engine_without_a_filter_or_with_its_own() -> None:
    assert one(seccomp.check, bare(engine=docker("20.10.9", SecurityOptions=[]))).status == "OK"
    own = docker("20.10.9", SecurityOptions=["name=seccomp,profile=/etc/docker/own.json"])
    assert one(seccomp.check, bare(engine=own)).status == "SKIP"


# the machine


@pytest.mark.parametrize(("space", "status", "words"), [
    (Space(32 << 30, 30 << 30), "OK", ""), (Space(64 << 20, 64 << 20), "WARN", "looks like a container"),
    (Space(32 << 30, 100 << 20), "WARN", "too little"),
])  # fmt: skip
def test_shared_memory(space: Space, status: str, words: str) -> None:
    found = one(system.check, bare(spaces={"/dev/shm": space}), "shm")
    assert found.status == status and words in found.message


def test_a_rootless_engine_cannot_raise_memlock() -> None:
    rootless = docker(SecurityOptions=["name=seccomp,profile=builtin", "name=rootless"])
    assert one(system.check, bare(engine=rootless), "memlock").status == "OK"
    found = one(system.check, bare(engine=rootless, settings=hosts.FLEET), "memlock")
    assert found.status == "WARN" and "LimitMEMLOCK=infinity" in found.remedy


# the doctor itself


def test_a_check_that_fails_is_a_finding_and_the_others_still_run() -> None:
    def broken(_: Host) -> list[Finding]:
        raise RuntimeError("no such thing")

    after = Finding("after", "OK", "still here")
    found = list(examination.examine(bare(), {"broken": broken, "after": lambda _: [after]}))
    assert found[0].status == "FAIL" and "RuntimeError: no such thing" in found[0].message
    assert found[1] == after


def test_a_check_that_never_ends_is_a_finding_and_the_others_still_run() -> None:
    free = threading.Event()

    def stuck(_: Host) -> Any:
        yield Finding("stuck", "OK", "the first half")
        free.wait()

    after = Finding("after", "OK", "still here")
    found = list(examination.examine(bare(), {"stuck": stuck, "after": lambda _: [after]}, limit=0.05))
    free.set()
    assert [f.status for f in found] == ["OK", "FAIL", "OK"] and "no end" in found[1].message


def test_every_failure_and_warning_has_a_remedy() -> None:
    machines = [
        hgx_h100(), desktop(), bare(), bare(engine=hosts.NO_PERMISSION), bare(engine=hosts.TWO_ENGINES),
        desktop(engine=hosts.PODMAN), mixed("595.71.05", "535.288.01"), desktop(commands={"nvidia-smi -q -x": HUNG}),
        node("470.57.02", "Tesla V100-SXM2-32GB", 32510, "7.0"),
    ]  # fmt: skip
    for machine in machines:
        for finding in examined(machine):
            assert bool(finding.remedy) == (finding.status in ("WARN", "FAIL")), finding
            assert "\n" not in finding.message and not finding.message.endswith(".")
            json.dumps(finding.figures)


def test_a_command_that_is_missing_and_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Host(bare().site)
    assert real.run("no-such-command").missing
    assert real.run("sh", "-c", "echo out; echo err >&2; exit 3") == Ran(3, "out\n", "err\n")
    assert real.run("sh", "-c", "echo $LC_ALL").out == "C\n"
    monkeypatch.setattr(host, "PATIENCE", 0.05)
    assert real.run("tail", "-f", "/dev/null").hung


def test_a_real_host_is_looked_at() -> None:
    real = Host(bare().site)
    assert real.read("/proc/self/status") and real.read("/no/such/file") == ""
    assert "self" in real.names("/proc") and real.names("/no/such/folder") == ()
    space = real.space("/")
    assert space is not None and 0 <= space.free <= space.total and real.space("/no/such/folder") is None


def test_an_engine_that_never_answers_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, meanwhile = Host(bare().site), []

    def ask(_: float) -> look.Look:
        meanwhile.append(real.engine)  # as another check would, while this one still waits
        return docker()

    monkeypatch.setattr(look, "look", ask)
    assert real.engine.trouble is None and len(meanwhile) == 1
    assert meanwhile[0].trouble is not None and "in time" in meanwhile[0].trouble.message


@pytest.mark.parametrize(("text", "numbers"), [
    ("20.10.24+dfsg1", (20, 10, 24)), ("v0.13.1", (0, 13, 1)), ("28.0.0-rc.1", (28, 0, 0)), ("", ()), ("master", ()),
])  # fmt: skip
def test_versions(text: str, numbers: tuple[int, ...]) -> None:
    assert version(text) == numbers


# what an engine is asked


def test_an_engine_is_looked_at_whatever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = {
        "/version": {**hosts.PODMAN.version}, "/info": {"Name": "elsewhere", "SecurityOptions": ["name=rootless"]},
        "/images/json": [labelled()],
    }  # fmt: skip

    def answer(path: str) -> Answer:
        body = next((body for end, body in said.items() if path.partition("?")[0].endswith(end)), None)
        return (200, json.dumps(body).encode()) if body is not None else (404, b"{}")

    with server(answer) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        seen = look.look(5)
    assert seen.trouble is None and seen.podman == "5.4.0" and seen.rootless and not seen.local
    assert seen.images[0]["Id"] == "sha256:1" and seen.builder == "the docker command is missing"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    gone = look.look(5)
    assert gone.trouble is not None and gone.trouble.message == "no Docker Engine answers"


# the command


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["imagekit", "doctor", *arguments])
    code = cli.execute()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out


@pytest.mark.parametrize(("status", "code"), [("OK", 0), ("WARN", 0), ("SKIP", 0), ("FAIL", 4)])
def test_the_exit_code(
    status: Any, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [Finding("engine", status, "said", "mend it\nthen this" if status == "FAIL" else "", {"a": 1})]
    monkeypatch.setattr(examination, "examine", lambda *_, **__: iter(found))
    ended, out = command(monkeypatch, capsys)
    assert ended == code and out.splitlines()[0] == f"engine    {status:<5} said"
    assert ("                mend it\n                then this\n" in out) == (status == "FAIL")
    assert out.splitlines()[-1].startswith("can build here: ")
    ended, out = command(monkeypatch, capsys, "--json")
    told = json.loads(out)
    assert ended == code and told["findings"][0]["status"] == status and told["findings"][0]["figures"] == {"a": 1}
    assert told["verdict"]["build"] is (status != "FAIL") and told["verdict"]["gpu"] is False


def test_the_script_is_the_preflight_of_the_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = command(monkeypatch, capsys, "--script")
    assert code == 0 and out == preflight.path().read_text()
    script = tmp_path / "imagekit-preflight"
    script.write_text(out)
    done = subprocess.run(
        [sys.executable, "-IS", str(script), "--look"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.stdout == "" and done.stderr.startswith("imagekit: ") and done.stderr.count("\n") == 1
