"""NVIDIA Container Toolkit and CDI: what hands a GPU to a container."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagekit.doctor import nvidia
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

SPECS = ("/etc/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml")
"""Where the toolkit's documentation puts them (container-toolkit/latest/cdi-support.html)."""

GENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
CONFIGURE = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"

CONFIG = "/etc/nvidia-container-runtime/config.toml"
ROOTLESS = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
"""For a rootless engine (container-toolkit/latest/install-guide.html)."""


def check(host: Host) -> Iterator[Finding]:
    if not nvidia.here(host):
        yield Finding("toolkit", "SKIP", nvidia.NOT_HERE)
        return
    yield _toolkit(host)
    cdi = _cdi(host)
    if cdi:
        yield cdi


def _toolkit(host: Host) -> Finding:
    ctk = host.run("nvidia-ctk", "--version")
    number = re.search(r"\d+\.[\w.-]+", ctk.out)
    hook = not host.run("nvidia-container-runtime-hook", "--version").missing
    info = host.engine.info
    runtime = "nvidia" in (info.get("Runtimes") or {})
    devices = [str(device) for device in info.get("DiscoveredDevices") or () if "nvidia" in str(device)]
    figures = {"version": number[0] if number else "", "runtime": runtime, "hook": hook, "cdi_devices": len(devices)}
    if ctk.missing and not hook and not runtime:
        return Finding(
            "toolkit", "FAIL", "no NVIDIA Container Toolkit: no container can have a GPU",
            f"install the package nvidia-container-toolkit, then: {CONFIGURE}", figures,
        )  # fmt: skip
    name = f"NVIDIA Container Toolkit {number[0]}" if number else "NVIDIA Container Toolkit"
    if host.engine.trouble is not None or host.engine.podman:
        return Finding("toolkit", "OK", f"{name}; no Docker Engine to ask whether it knows it", "", figures)
    if (
        runtime
        and host.engine.rootless
        and not re.search(r"^\s*no-cgroups\s*=\s*true", host.read(CONFIG), re.MULTILINE)
    ):
        said = f"a rootless engine cannot set the cgroups that the toolkit asks for; containers with GPUs fail ({name})"
        return Finding("toolkit", "FAIL", said, ROOTLESS, figures)
    if runtime or devices:
        how = "the engine has the runtime nvidia" if runtime else "the engine has the GPUs by CDI"
        return Finding("toolkit", "OK", f"{name}; {how}", "", figures)
    if hook and host.engine.local:
        said = f"the engine has no runtime nvidia; imagekit run gives no GPU but with --gpus all ({name})"
        return Finding("toolkit", "WARN", said, CONFIGURE, figures)
    said = f"the engine has neither the runtime nvidia nor GPUs by CDI; no container can have one ({name})"
    return Finding("toolkit", "FAIL", said, CONFIGURE, figures)


def _cdi(host: Host) -> Finding | None:
    """None where nothing asks for CDI: Docker does without."""
    module = nvidia.module_version(host)
    written = {path: host.read(path) for path in SPECS}
    for path, text in written.items():
        old = {v for v in re.findall(r"libcuda\.so\.(\d+\.[\d.]+\d)", text) if module and v != module}
        if old:
            return Finding(
                "cdi", "FAIL", f"{path} is of driver {', '.join(sorted(old))}, this is {module}: its files are gone",
                GENERATE, {"spec": path},
            )  # fmt: skip
    listed = host.run("nvidia-ctk", "cdi", "list")
    names = re.findall(r"^nvidia\.com/gpu=\S+$", listed.out, re.MULTILINE)
    if names:
        every = "nvidia.com/gpu=all" in names
        said = f"{len(names)} names of CDI{', nvidia.com/gpu=all among them' if every else ''}"
        return Finding("cdi", "OK", said, "", {"names": names})
    if host.engine.podman:
        remedy = f"{GENERATE}\nthen: podman run --device nvidia.com/gpu=all"
        return Finding("cdi", "FAIL", "no CDI devices, by which podman hands out GPUs", remedy)
    return None
