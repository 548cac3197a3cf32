"""The NVIDIA driver: a kernel module and libraries, which work together only in the same version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagekit.doctor import nvidia
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

HUNG = (
    "look for a GPU that is gone: dmesg | grep -i -e xid -e nvrm\n"
    "then drain this machine and reboot it; a reset (nvidia-smi --gpu-reset) needs a driver that answers"
)


def check(host: Host) -> Iterator[Finding]:
    module, libraries, smi = nvidia.module_version(host), nvidia.library_versions(host), nvidia.smi(host)
    figures = {"module": module, "libraries": list(libraries), "open": nvidia.open_module(host)}
    if not nvidia.here(host):
        yield _absent(host)
    elif smi.hung:
        yield Finding(
            "driver",
            "FAIL",
            f"nvidia-smi does not end in {nvidia.PATIENCE} s: the driver does not answer",
            HUNG,
            figures,
        )
    elif "version mismatch" in smi.said or (module and libraries and libraries != (module,)):
        yield _mixed(host, module, libraries, figures)
    elif not module and nvidia.log(host) is None:
        yield _not_loaded(host, libraries, figures)
    elif smi.missing:
        remedy = f"install the driver's utilities in the same version (Ubuntu: nvidia-utils-{module.split('.')[0]})"
        said = f"kernel module {module}, and no nvidia-smi: the GPUs cannot be looked at"
        yield Finding("driver", "WARN", said, remedy, figures)
    elif nvidia.log(host) is None:
        first = next(iter(smi.said.splitlines()), f"code {smi.code}")
        yield Finding("driver", "FAIL", f"nvidia-smi fails: {first}", HUNG, figures)
    else:
        kind = "open kernel module" if nvidia.open_module(host) else "kernel module"
        state = f"{kind} and libraries agree" if module else "without a kernel module of its own, as in WSL"
        yield Finding("driver", "OK", f"NVIDIA {nvidia.driver_version(host)}, {state}", "", figures)


def _absent(host: Host) -> Finding:
    count = nvidia.on_the_bus(host, nvidia.DISPLAY)
    if not count:
        return Finding("driver", "SKIP", f"{nvidia.NOT_HERE}, and no NVIDIA GPU on the PCI bus")
    other = "; nouveau has it" if host.names("/sys/module/nouveau") else ""
    what = "an NVIDIA GPU is" if count == 1 else f"{count} NVIDIA GPUs are"
    return Finding(
        "driver", "FAIL", f"{nvidia.NOT_HERE}, and {what} on the PCI bus{other}",
        "install it: apt-get install nvidia-driver (Debian), ubuntu-drivers install --gpgpu (Ubuntu); then reboot",
        {"on_the_bus": count},
    )  # fmt: skip


def _mixed(host: Host, module: str, libraries: tuple[str, ...], figures: dict[str, object]) -> Finding:
    told = re.findall(r"NVML library version: ([\d.]+)", nvidia.smi(host).said)
    have = " and ".join(libraries or told) or "another version"
    on_disk = host.run("modinfo", "-F", "version", "nvidia").out.strip()
    other = f"the kernel has module {module or '?'}, the libraries are {have}: mixed driver packages"
    if on_disk and on_disk != module and any(on_disk.startswith(part) for part in (*libraries, *told)):
        remedy = f"module {on_disk} is on disk and waits to be loaded: reboot"
    else:
        branch = module.split(".")[0]
        remedy = (
            "install one version of all of it, then reboot; what is installed:\n"
            f"dpkg -l | grep -e nvidia -e libcuda     (Ubuntu, for this module: libnvidia-compute-{branch})"
        )
    if nvidia.log(host) is not None and module in libraries:
        return Finding(
            "driver", "WARN", f"{other}; nvidia-smi found the right ones, another program may not", remedy, figures
        )
    return Finding("driver", "FAIL", f'{other} ("Driver/library version mismatch")', remedy, figures)


def _not_loaded(host: Host, libraries: tuple[str, ...], figures: dict[str, object]) -> Finding:
    count = nvidia.on_the_bus(host, nvidia.DISPLAY)
    have = f"libraries {' and '.join(libraries)}" if libraries else "nvidia-smi"
    if not count:
        return Finding(
            "driver", "SKIP", f"no NVIDIA GPU on the PCI bus; {have} of a driver are here, its module is not loaded",
            figures=figures,
        )  # fmt: skip
    return Finding(
        "driver", "FAIL", f"the kernel module is not loaded; {have} of the driver are here",
        "modprobe nvidia says why; after a new kernel: dkms status, dkms autoinstall, with its headers installed\n"
        "with Secure Boot the module has to be signed: mokutil --sb-state", figures,
    )  # fmt: skip
