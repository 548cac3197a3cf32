"""What the doctor says of drivers, GPUs, what hands them to containers, and what connects them."""

from __future__ import annotations

import doctor_hosts as hosts
import pytest
from doctor_hosts import HUNG, MISSING, Fake, desktop, docker, examined, hgx_h100, mixed, one

from imagekit.doctor import examination
from imagekit.doctor.checks import driver, gpus, nvlink, rdma, toolkit
from imagekit.doctor.host import Ran

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
