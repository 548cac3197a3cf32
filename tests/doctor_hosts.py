"""Machines for the tests of the doctor, out of outputs that others published; each says where it comes from.

XML of nvidia-smi is cut down to the elements that are read, and their neighbours that could be taken for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagekit.doctor import examination
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host, Ran, Space
from imagekit.engines.endpoint import unreachable
from imagekit.engines.look import Look
from imagekit.errors import Error, Surroundings
from imagekit.site import Settings, Site

MISSING = Ran(127, missing=True)
HUNG = Ran(124, hung=True)


class Fake(Host):
    """A host of given files and outputs; a command that is not given is missing, an index answers."""

    def __init__(
        self,
        files: Mapping[str, str] = {},
        commands: Mapping[str, str | Ran] = {},
        engine: Look | None = None,
        settings: Mapping[str, Any] = {},
        environ: Mapping[str, str] = {},
        **more: Any,
    ) -> None:
        site = Site(Settings.model_validate(settings), "", more.get("ca", ""), tuple(more.get("shown", ())), ())
        super().__init__(site, {"HOME": "/home/me", **environ})
        self.files, self.commands = dict(files), dict(commands)
        self.spaces: dict[str, Space] = {"/dev/shm": Space(64 << 30, 64 << 30), **more.get("spaces", {})}
        self.indexes: dict[str, Error] = more.get("indexes", {})
        self.asked: list[tuple[str, str]] = []
        self._look = engine or docker()

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def names(self, folder: str) -> tuple[str, ...]:
        top = folder.rstrip("/") + "/"
        return tuple(sorted({path.removeprefix(top).split("/")[0] for path in self.files if path.startswith(top)}))

    def run(self, *command: str, patience: float | None = None) -> Ran:
        found = self.commands.get(" ".join(command), MISSING)
        return Ran(0, found) if isinstance(found, str) else found

    def space(self, path: str) -> Space | None:
        return self.spaces.get(path)

    def memlock(self) -> int:
        return 8 << 20

    def libc(self) -> str:
        return "glibc 2.36"

    def index(self, name: str, package: str, variant: str) -> Error | None:
        self.asked.append((name, package))
        return self.indexes.get(name)


def docker(version: str = "26.1.5+dfsg1", *, images: tuple[Mapping[str, Any], ...] = (), **info: Any) -> Look:
    """What Engine 26.1.5 of Debian 12 says in /info."""
    said = {
        "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
        "DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}}, **info,
    }  # fmt: skip
    return Look("unix:///var/run/docker.sock", None, {"Version": version}, said, images, "", "v0.13.1", True)


PODMAN = Look(
    "unix:///run/user/1000/podman/podman.sock (DOCKER_HOST)", None,
    {
        "Platform": {"Name": "linux/arm64/fedora-41"},
        "Components": [
            {"Name": "Podman Engine", "Version": "5.4.0", "Details": {"APIVersion": "5.4.0", "MinAPIVersion": "4.0.0"}},
            {"Name": "Conmon", "Version": "conmon version 2.1.12, commit: "},
        ],
        "Version": "5.4.0", "ApiVersion": "1.41", "MinAPIVersion": "1.24",
    },
    {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]},
)  # fmt: skip
"""docker-py's version() of a podman: https://github.com/containers/podman-py/issues/595."""

NO_PERMISSION = Look("unix:///var/run/docker.sock", unreachable(
    "Error while fetching server API version: ('Connection aborted.', PermissionError(13, 'Permission denied'))"
))  # fmt: skip
"""docker-py's words: https://github.com/docker/docker-py/issues/2374."""

TWO_ENGINES = Look("", Surroundings(
    "the docker command and imagekit's own client (docker-py) mean different engines",
    details=["docker command   tcp://build.example:2376 (context build)", "docker-py        unix:///var/run/docker.sock"],
    hint="export DOCKER_HOST=tcp://build.example:2376     both follow it",
))  # fmt: skip

RTX_3080 = """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">
<nvidia_smi_log>
	<driver_version>595.58.03</driver_version>
	<cuda_version>13.2</cuda_version>
	<attached_gpus>1</attached_gpus>
	<gpu id="00000000:0C:00.0">
		<product_name>NVIDIA GeForce RTX 3080</product_name>
		<persistence_mode>Disabled</persistence_mode>
		<mig_mode><current_mig>N/A</current_mig><pending_mig>N/A</pending_mig></mig_mode>
		<gpu_recovery_action>None</gpu_recovery_action>
		<fb_memory_usage><total>10240 MiB</total><reserved>397 MiB</reserved></fb_memory_usage>
		<ecc_mode><current_ecc>N/A</current_ecc><pending_ecc>N/A</pending_ecc></ecc_mode>
		<fabric><state>N/A</state><status>N/A</status></fabric>
	</gpu>
</nvidia_smi_log>
"""
"""https://github.com/influxdata/telegraf, plugins/inputs/nvidia_smi/testdata/rtx-3080-v13.xml."""

A100 = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
    <driver_version>535.54.03</driver_version>
    <cuda_version>12.2</cuda_version>
    <attached_gpus>4</attached_gpus>
    <gpu id="00000000:01:00.0">
        <product_name>NVIDIA A100-SXM4-80GB</product_name>
        <persistence_mode>Disabled</persistence_mode>
        <mig_mode><current_mig>Enabled</current_mig><pending_mig>Enabled</pending_mig></mig_mode>
        <mig_devices><mig_device><index>0</index>
            <fb_memory_usage><total>19968 MiB</total><reserved>0 MiB</reserved></fb_memory_usage>
        </mig_device></mig_devices>
        <fb_memory_usage><total>81920 MiB</total><reserved>869 MiB</reserved></fb_memory_usage>
        <ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Enabled</pending_ecc></ecc_mode>
        <fabric><state>N/A</state><status>N/A</status></fabric>
    </gpu>
</nvidia_smi_log>
"""
"""The same, testdata/a100-sxm4-v12.xml."""


def smi(
    driver: str, name: str, mebibytes: int, count: int, *, fabric: str = "N/A", status: str = "N/A", more: str = ""
) -> str:
    """`nvidia-smi -q -x` in the form of the two above, with values that are reported elsewhere."""
    gpu = (
        f"<gpu><product_name>{name}</product_name><persistence_mode>Enabled</persistence_mode>"
        f"<mig_mode><current_mig>Disabled</current_mig></mig_mode>{more}"
        f"<fb_memory_usage><total>{mebibytes} MiB</total></fb_memory_usage>"
        "<ecc_mode><current_ecc>Enabled</current_ecc><pending_ecc>Enabled</pending_ecc></ecc_mode>"
        f"<fabric><state>{fabric}</state><status>{status}</status></fabric></gpu>"
    )
    return f'<?xml version="1.0" ?>\n<nvidia_smi_log><driver_version>{driver}</driver_version>{gpu * count}</nvidia_smi_log>\n'


def _matrix() -> str:
    """GPUs and one of the cards of an HGX H100: https://github.com/NVIDIA/nccl/issues/1264."""
    head = "\t" + "\t".join(f"GPU{n}" for n in range(8)) + "\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\n"
    rows = ""
    for row in range(8):
        links = "\t".join(" X " if row == column else "NV18" for column in range(8))
        rows += f"GPU{row}\t{links}\t{'PIX' if row == 0 else 'SYS'}\t0-55,112-167\t0\t\tN/A\n"
    return head + rows + "NIC0\tPIX" + "\tSYS" * 7 + "\t X \t\t\t\t\n\nLegend:\n\n  X    = Self\n"


HGX_MATRIX = _matrix()

TWO_BY_PCIE = "\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \tPHB\t0-63\t0\t\tN/A\nGPU1\tPHB\t X \t0-63\t0\t\tN/A\n"
"""https://github.com/noonghunna/club-3090/issues/1229."""

CTK = "NVIDIA Container Toolkit CLI version 1.14.3\ncommit: 53b24618a542025b108239fe602e66e912b7d6e2\n"
CDI = "INFO[0000] Found 2 CDI devices\nnvidia.com/gpu=0\nnvidia.com/gpu=all\n"
"""Both: https://github.com/NVIDIA/nvidia-container-toolkit/issues/146."""


def module(version: str, kind: str = "x86_64 Kernel Module") -> dict[str, str]:
    """/proc and /sys of a loaded module; the lines are those of the SUSE and Talos documentation."""
    return {
        "/sys/module/nvidia/version": f"{version}\n",
        "/proc/driver/nvidia/version": f"NVRM version: NVIDIA UNIX {kind}  {version}  Release Build  (abuild@host)\n"
        "GCC version:  gcc version 12.2.0 (GCC)\n",
    }


def libraries(version: str) -> dict[str, str]:
    folder = "/usr/lib/x86_64-linux-gnu"
    return {f"{folder}/{name}": "" for name in (f"libcuda.so.{version}", "libcuda.so.1", f"libnvidia-ml.so.{version}")}


def bus(**classes: int) -> dict[str, str]:
    """Devices of NVIDIA by class: 0x030200 a GPU, 0x068000 an NVSwitch (https://github.com/NVIDIA/nccl/issues/1505)."""
    found = {}
    for kind, count in classes.items():
        for number in range(count):
            slot = f"/sys/bus/pci/devices/0000:{number:02x}:{'00' if kind == 'gpu' else '01'}.0"
            found |= {f"{slot}/vendor": "0x10de\n", f"{slot}/class": "0x030200\n" if kind == "gpu" else "0x068000\n"}
    return found | {
        "/sys/bus/pci/devices/0000:ff:00.0/vendor": "0x8086\n",
        "/sys/bus/pci/devices/0000:ff:00.0/class": "0x030000\n",
    }


NVIDIA_ENGINE = docker(Runtimes={"nvidia": {"path": "nvidia-container-runtime"}, "runc": {"path": "runc"}})
CPU_V3 = "flags\t\t: cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe\n"
FLEET = {"fleet": {"h100": {"gpu": "H100", "driver": "550.54.15", "rdma": True}}}


def hgx_h100(**changes: Any) -> Fake:
    """Eight H100 behind four NVSwitches, InfiniBand and the open kernel module. Driver 570.195.03, 81559 MiB and the
    fabric's words are those of reports about such machines (https://github.com/siderolabs/extensions/pull/717)."""
    ports = {
        f"/sys/class/infiniband/mlx5_{n}/ports/1/{key}": f"{value}\n"
        for n in range(2)
        for key, value in {"state": "4: ACTIVE", "rate": "400 Gb/sec (4X NDR)", "link_layer": "InfiniBand"}.items()
    }
    files = {
        **module("570.195.03", "Open Kernel Module for x86_64"), **libraries("570.195.03"), **bus(gpu=8, switch=4),
        "/proc/cpuinfo": CPU_V3, "/dev/infiniband/uverbs0": "", "/dev/infiniband/rdma_cm": "", **ports,
        "/proc/sys/kernel/osrelease": "6.11.0-1016-nvidia\n", **changes.pop("files", {}),
    }  # fmt: skip
    commands = {
        "nvidia-smi -q -x": smi("570.195.03", "NVIDIA H100 80GB HBM3", 81559, 8, fabric="Completed", status="Success"),
        "nvidia-smi --query-gpu=compute_cap --format=csv,noheader": "9.0\n" * 8,
        "nvidia-smi topo -m": HGX_MATRIX, "systemctl is-active nvidia-fabricmanager": "active\n",
        "nvidia-ctk --version": CTK, 
        **changes.pop("commands", {}),
    }  # fmt: skip
    settings = {"engine": NVIDIA_ENGINE, "settings": FLEET, "spaces": {"/var/lib/docker": Space(10**12, 10**12 // 2)}}
    return Fake(files, commands, **{**settings, **changes})


def desktop(**changes: Any) -> Fake:
    """One GeForce, and an engine that was never told of the toolkit."""
    files = {
        **module("595.58.03"),
        **libraries("595.58.03"),
        **bus(gpu=1),
        "/proc/cpuinfo": CPU_V3,
        **changes.pop("files", {}),
    }
    commands = {
        "nvidia-smi -q -x": RTX_3080, "nvidia-smi --query-gpu=compute_cap --format=csv,noheader": "8.6\n",
        **changes.pop("commands", {}),
    }  # fmt: skip
    return Fake(files, commands, **changes)


MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.288\n"
"""Module 595, utilities of 535: the words of nvidia-smi, as in many reports (here of a `gpu setup` on Ubuntu)."""


def mixed(module_version: str, library: str, said: str = MISMATCH, on_disk: str = "") -> Fake:
    commands: dict[str, str | Ran] = {"nvidia-smi -q -x": Ran(18, said)}
    commands |= {"modinfo -F version nvidia": f"{on_disk}\n"} if on_disk else {}
    return Fake({**module(module_version), **libraries(library), **bus(gpu=1)}, commands)


def bare(**changes: Any) -> Fake:
    """A build machine without a GPU."""
    return Fake({"/proc/cpuinfo": CPU_V3, **bus()}, **changes)


def examined(of: Host) -> list[Finding]:
    return list(examination.examine(of))


def one(check: Any, of: Host, name: str = "") -> Finding:
    found = [finding for finding in check(of) if not name or finding.name == name]
    assert len(found) == 1, found
    return found[0]


def bad(findings: list[Finding]) -> list[str]:
    return [f"{finding.name} {finding.status}" for finding in findings if finding.status in ("WARN", "FAIL")]


def labelled(**labels: str) -> dict[str, Any]:
    every = {"profile": "video-llm", "torch": "2.4.1", "cuda": "12.1", "min-driver": "525.60.13"}
    every |= {"gpu-architectures": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", "cpu-level": "x86-64-v3", **labels}
    return {
        "Id": "sha256:1", "RepoTags": ["pytorch:2.4.1-cuda12.1-video-llm", "pytorch:2.4.1-cuda12.1"],
        "Labels": {f"io.imagekit.{key}": value for key, value in every.items()},
    }  # fmt: skip


def node(driver_version: str, name: str, mebibytes: int, capability: str, **changes: Any) -> Fake:
    answer = smi(driver_version, name, mebibytes, 1)
    return hgx_h100(files={**module(driver_version), **changes.pop("files", {})}, commands={
        "nvidia-smi -q -x": answer, "nvidia-smi --query-gpu=compute_cap --format=csv,noheader": f"{capability}\n",
    }, engine=docker(images=(labelled(),)), **changes)  # fmt: skip
