"""What the doctor says of machines that are well and of machines that are not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import doctor_hosts as hosts
import pytest
from doctor_hosts import HUNG, MISSING, Fake, bare, desktop, docker, hgx_h100, mixed
from samples import Answer, server

from imagekit import assemble, cli
from imagekit.doctor import examination, host, preflight
from imagekit.doctor.check import Finding, version
from imagekit.doctor.checks import driver, engine, gpus, indexes, nvlink, rdma, registry, runs, seccomp, system, toolkit
from imagekit.doctor.host import Host, Ran, Space
from imagekit.engines import look
from imagekit.engines.docker_api import unreachable
from imagekit.errors import Surroundings


def examined(of: Host) -> list[Finding]:
    return list(examination.examine(of))


def one(check: Any, of: Host, name: str = "") -> Finding:
    found = [finding for finding in check(of) if not name or finding.name == name]
    assert len(found) == 1, found
    return found[0]


def bad(findings: list[Finding]) -> list[str]:
    return [f"{finding.name} {finding.status}" for finding in findings if finding.status in ("WARN", "FAIL")]


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


# the driver


def test_wsl_has_no_kernel_module() -> None:
    found = one(driver.check, Fake(hosts.libraries("595.58.03"), {"nvidia-smi -q -x": hosts.RTX_3080}))
    assert found.status == "OK" and found.message == "NVIDIA 595.58.03, without a kernel module of its own, as in WSL"


def test_mixed_driver_packages() -> None:
    found = one(driver.check, mixed("595.71.05", "535.288.01"))
    assert found.status == "FAIL" and "module 595.71.05, the libraries are 535.288.01" in found.message
    assert "libnvidia-compute-595" in found.remedy and "reboot" in found.remedy


def test_a_module_that_waits_for_a_reboot() -> None:
    """https://www.wanpihou.xyz/archives/nvidiaqu-dong-ban-ben-bu-pi-pei-dao-zhi-nvidia-smishi-xiao"""
    said = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.133\n"
    found = one(driver.check, mixed("570.124.06", "570.133.07", said, on_disk="570.133.07"))
    assert found.status == "FAIL" and found.remedy == "module 570.133.07 is on disk and waits to be loaded: reboot"


def test_two_versions_of_libraries_are_mixed_although_nvidia_smi_answers() -> None:
    both = {**hosts.libraries("595.58.03"), **hosts.libraries("580.95.05")}
    found = one(driver.check, desktop(files=both))
    assert found.status == "WARN" and "580.95.05 and 595.58.03" in found.message


def test_a_hung_nvidia_smi_is_a_finding() -> None:
    ill = desktop(commands={"nvidia-smi -q -x": HUNG})
    found = one(driver.check, ill)
    assert found.status == "FAIL" and "does not end" in found.message and "dmesg" in found.remedy
    findings = examined(ill)
    assert examination.verdict(findings).gpu == "nvidia-smi does not end in 40 s: the driver does not answer"
    assert next(f for f in findings if f.name == "gpu").message == "nvidia-smi does not tell"


@pytest.mark.parametrize("said", [
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n",
    "Unable to determine the device handle for GPU0000:0C:00.0: Unknown Error\n",
])  # fmt: skip
def test_an_nvidia_smi_that_fails(said: str) -> None:
    found = one(driver.check, desktop(commands={"nvidia-smi -q -x": Ran(9, said)}))
    assert found.status == "FAIL" and said.strip() in found.message


def test_a_driver_that_is_not_loaded() -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    files = {**hosts.libraries("580.95.05"), **hosts.bus(gpu=1)}
    found = one(driver.check, Fake(files, {"nvidia-smi -q -x": Ran(9, said)}))
    assert found.status == "FAIL" and "not loaded" in found.message and "dkms" in found.remedy
    no_gpu = Fake({**hosts.libraries("580.95.05"), **hosts.bus()}, {"nvidia-smi -q -x": Ran(9, said)})
    assert one(driver.check, no_gpu).status == "SKIP"


def test_a_gpu_without_a_driver() -> None:
    found = one(driver.check, Fake({**hosts.bus(gpu=2), "/sys/module/nouveau/version": ""}))
    assert found.status == "FAIL" and "2 NVIDIA GPUs are on the PCI bus" in found.message and "nouveau" in found.message


@pytest.mark.parametrize("answer", ["", "<html>", "<nvidia_smi_log><gpu>", "<nvidia_smi_log>" + "x" * 1000])
def test_nonsense_from_nvidia_smi(answer: str) -> None:
    found = one(driver.check, desktop(commands={"nvidia-smi -q -x": answer}))
    assert found.status == "FAIL" and "nvidia-smi fails" in found.message


# GPUs and what hands them out


def test_a_geforce_has_no_ecc_and_its_memory_is_its_own() -> None:
    assert one(gpus.check, desktop()).message == (
        "1 x NVIDIA GeForce RTX 3080, 10.7 GB, compute capability 8.6 (sm_86), persistence off"
    )


def test_memory_of_a_gpu_in_parts_is_the_whole() -> None:
    found = one(gpus.check, desktop(commands={
        "nvidia-smi -q -x": hosts.A100, "nvidia-smi --query-gpu=compute_cap --format=csv,noheader": Ran(2, "Field ..."),
    }))  # fmt: skip
    assert found.message.startswith("1 x NVIDIA A100-SXM4-80GB, 85.9 GB, compute capability 8.0 (sm_80), ECC on")
    assert "MIG on" in found.message, "the capability is the facts', where the driver does not tell"


def test_a_gpu_that_asks_for_a_reset() -> None:
    asks = hosts.smi(
        "570.195.03", "NVIDIA H100 80GB HBM3", 81559, 1, more="<gpu_recovery_action>Reset</gpu_recovery_action>"
    )
    found = one(gpus.check, hgx_h100(commands={"nvidia-smi -q -x": asks}))
    assert found.status == "FAIL" and "asks for Reset" in found.message and "--gpu-reset" in found.remedy


def test_ecc_that_waits_for_a_reset() -> None:
    waits = hosts.A100.replace("<pending_ecc>Enabled", "<pending_ecc>Disabled")
    found = one(gpus.check, desktop(commands={"nvidia-smi -q -x": waits}))
    assert found.status == "WARN" and "ECC will be off" in found.message


def test_a_gpu_on_the_bus_that_the_driver_does_not_show() -> None:
    none = "<nvidia_smi_log><driver_version>595.58.03</driver_version><attached_gpus>0</attached_gpus></nvidia_smi_log>"
    found = one(gpus.check, desktop(commands={"nvidia-smi -q -x": none}))
    assert found.status == "FAIL" and "the PCI bus has 1" in found.message


def test_no_toolkit() -> None:
    found = one(toolkit.check, desktop())
    assert found.status == "FAIL" and "nvidia-container-toolkit" in found.remedy
    assert examination.verdict(examined(desktop())).gpu == "no NVIDIA Container Toolkit: no container can have a GPU"


def test_a_toolkit_that_the_engine_does_not_know() -> None:
    commands: dict[str, str | Ran] = {"nvidia-ctk --version": hosts.CTK}
    found = one(toolkit.check, desktop(commands=commands))
    assert found.status == "FAIL" and "NVIDIA Container Toolkit 1.14.3" in found.message
    assert "runtime configure --runtime=docker" in found.remedy
    hook = {"nvidia-container-runtime-hook --version": "NVIDIA Container Runtime Hook version 1.14.3\n"}
    assert one(toolkit.check, desktop(commands={**commands, **hook})).status == "WARN"
    assert one(toolkit.check, desktop(commands=commands, engine=hosts.NVIDIA_ENGINE)).status == "OK"
    cdi = docker(DiscoveredDevices=[{"Source": "cdi", "ID": "nvidia.com/gpu=0"}])
    assert one(toolkit.check, desktop(commands=commands, engine=cdi)).status == "OK"


def test_a_rootless_engine_needs_a_toolkit_without_cgroups() -> None:
    rootless = docker(Runtimes={"nvidia": {}}, SecurityOptions=["name=rootless"])
    commands: dict[str, str | Ran] = {"nvidia-ctk --version": hosts.CTK}
    found = one(toolkit.check, desktop(commands=commands, engine=rootless))
    assert found.status == "FAIL" and "no-cgroups" in found.remedy
    for line, status in (("#no-cgroups = false", "FAIL"), ("no-cgroups = true", "OK")):
        files = {"/etc/nvidia-container-runtime/config.toml": f"[nvidia-container-cli]\n{line}\n"}
        assert one(toolkit.check, desktop(files=files, commands=commands, engine=rootless)).status == status


def test_a_cdi_specification_of_an_older_driver() -> None:
    """https://github.com/Igalia/webkit-container-sdk/issues/23"""
    spec = "- hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.535.161.07\n"
    ill = desktop(files={"/etc/cdi/nvidia.yaml": spec}, commands={"nvidia-ctk --version": hosts.CTK})
    found = one(toolkit.check, ill, "cdi")
    assert found.status == "FAIL" and "535.161.07" in found.message and "595.58.03" in found.message
    fresh = spec.replace("535.161.07", "595.58.03")
    commands = {"nvidia-ctk --version": hosts.CTK, "nvidia-ctk cdi list": hosts.CDI}
    found = one(toolkit.check, desktop(files={"/etc/cdi/nvidia.yaml": fresh}, commands=commands), "cdi")
    assert (found.status, found.message) == ("OK", "2 names of CDI, nvidia.com/gpu=all among them")


# NVLink, fabric manager, RDMA


def test_a_fabric_that_is_not_ready() -> None:
    smi = hosts.smi("570.195.03", "NVIDIA H100 80GB HBM3", 81559, 8, fabric="In Progress")
    ill = hgx_h100(commands={
        "nvidia-smi -q -x": smi, "systemctl is-active nvidia-fabricmanager": Ran(3, "inactive\n"),
    })  # fmt: skip
    found = one(nvlink.check, ill, "fabric")
    assert found.status == "FAIL" and "In Progress" in found.message and "inactive" in found.message
    assert "nvidia-fabricmanager" in found.remedy and "570.195.03" in found.remedy and "virtual" not in found.remedy
    assert examination.verdict(examined(ill)).gpu == "the NVLink fabric is not ready: In Progress"


def test_a_virtual_machine_cannot_mend_its_fabric() -> None:
    """One H100 of an HGX, handed to a virtual machine without the NVSwitches."""
    smi = hosts.smi("570.195.03", "NVIDIA H100 80GB HBM3", 81559, 1, fabric="In Progress")
    found = one(nvlink.check, desktop(commands={"nvidia-smi -q -x": smi}), "fabric")
    assert found.status == "FAIL" and "its host has to set up the fabric" in found.remedy


@pytest.mark.parametrize(("answer", "status"), [
    ("active\n", "OK"), (Ran(3, "inactive\n"), "FAIL"), (Ran(3, "failed\n"), "FAIL"), (MISSING, "SKIP"),
])  # fmt: skip
def test_an_a100_has_no_state_of_the_fabric(answer: str | Ran, status: str) -> None:
    """https://github.com/bottlerocket-os/bottlerocket/pull/3873"""
    commands = {"nvidia-smi -q -x": hosts.A100, "systemctl is-active nvidia-fabricmanager": answer}
    assert one(nvlink.check, hgx_h100(commands=commands), "fabric").status == status


def test_a_desktop_needs_no_fabric_manager() -> None:
    assert list(nvlink.check(desktop())) == []


def test_gpus_of_a_fabric_that_are_connected_by_pcie() -> None:
    down = hosts.HGX_MATRIX.replace("NV18\tPIX", "SYS\tPIX").replace("GPU7\tNV18", "GPU7\tSYS")
    found = one(nvlink.check, hgx_h100(commands={"nvidia-smi topo -m": down}), "nvlink")
    assert found.status == "WARN" and "1 of 28 pairs SYS" in found.message and "nvlink --status" in found.remedy


def test_two_gpus_on_pcie_are_as_they_are() -> None:
    two = hosts.smi("595.58.03", "NVIDIA GeForce RTX 5090", 32607, 2)
    found = one(nvlink.check, desktop(commands={"nvidia-smi -q -x": two, "nvidia-smi topo -m": hosts.TWO_BY_PCIE}))
    assert (found.status, found.message) == ("OK", "PCIe, no NVLink: 1 of 1 pairs PHB")


def test_rdma_is_looked_at_where_the_fleet_says_it() -> None:
    assert one(rdma.check, desktop()).message == "no pool of the site's fleet has rdma"
    assert "of no pool with rdma (h100)" in one(rdma.check, desktop(settings=hosts.FLEET)).message
    assert {finding.name: finding.status for finding in rdma.check(hgx_h100())} == {"rdma": "OK", "peermem": "OK"}


def test_no_infiniband_although_the_fleet_says_rdma() -> None:
    ill = hgx_h100()
    for path in [path for path in ill.files if path.startswith("/dev/infiniband/uverbs")]:
        del ill.files[path]
    found = one(rdma.check, ill, "rdma")
    assert found.status == "FAIL" and "NCCL takes TCP" in found.message


def test_ports_that_are_down() -> None:
    down = {f"/sys/class/infiniband/mlx5_{n}/ports/1/state": "1: DOWN\n" for n in range(2)}
    found = one(rdma.check, hgx_h100(files=down), "rdma")
    assert found.status == "FAIL" and "mlx5_0/1 DOWN" in found.message
    half = dict(list(down.items())[:1])
    assert "1 ports active, 1 not" in one(rdma.check, hgx_h100(files=half), "rdma").message


@pytest.mark.parametrize(("files", "status"), [
    ({}, "OK"),  # open module, Linux 6.11: DMA-BUF
    ({"/proc/sys/kernel/osrelease": "5.4.0-216-generic\n"}, "WARN"),
    (hosts.module("570.195.03"), "WARN"),
    ({**hosts.module("570.195.03"), "/sys/module/nvidia_peermem/version": "570.195.03\n"}, "OK"),
])  # fmt: skip
def test_peer_memory(files: dict[str, str], status: str) -> None:
    assert one(rdma.check, hgx_h100(files=files), "peermem").status == status


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


def labelled(**labels: str) -> dict[str, Any]:
    every = {"profile": "video-llm", "torch": "2.4.1", "cuda": "12.1", "min-driver": "525.60.13"}
    every |= {"gpu-architectures": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", "cpu-level": "x86-64-v3", **labels}
    return {
        "Id": "sha256:1", "RepoTags": ["pytorch:2.4.1-cuda12.1-video-llm", "pytorch:2.4.1-cuda12.1"],
        "Labels": {f"io.imagekit.{key}": value for key, value in every.items()},
    }  # fmt: skip


def node(driver_version: str, name: str, mebibytes: int, capability: str, **changes: Any) -> Fake:
    smi = hosts.smi(driver_version, name, mebibytes, 1)
    return hgx_h100(files={**hosts.module(driver_version), **changes.pop("files", {})}, commands={
        "nvidia-smi -q -x": smi, "nvidia-smi --query-gpu=compute_cap --format=csv,noheader": f"{capability}\n",
    }, engine=docker(images=(labelled(),)), **changes)  # fmt: skip


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
