"""What NVIDIA's driver says of itself and of the GPUs: its kernel module in /proc and /sys, the rest by nvidia-smi.

Fields and their values are those of `nvidia-smi -q -x` (nvsmi_device_v12.dtd and v13), which is older than any driver
that a torch since 2.0 runs on; the compute capability is in `--query-gpu=compute_cap` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from imagekit.compat import facts
from imagekit.compat.nodes import numbers
from imagekit.doctor.host import Host, Ran

VENDOR = "0x10de"
"""NVIDIA's, on the PCI bus."""
PCI = "/sys/bus/pci/devices"
DISPLAY, BRIDGE = "0x03", "0x0680"
"""First digits of a PCI class: a GPU is a display controller, an NVSwitch a bridge of the class "other"."""

LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib",
)  # fmt: skip
QUERY = ("nvidia-smi", "-q", "-x")
CAPABILITIES = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")

PATIENCE = 40
"""Seconds: without the persistence mode every GPU is started anew for each question."""

NOT_HERE = "no NVIDIA driver here"


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: int
    """Bytes, all of it."""
    capability: str = ""
    """ "9.0"; empty where neither the driver nor the facts know it."""
    ecc: tuple[str, str] = ("N/A", "N/A")
    """Now, and after the next reset: Enabled | Disabled | N/A."""
    persistence: str = ""
    mig: str = ""
    recovery: str = ""
    """What the driver asks for: None | Reset | Reboot | Drain P2P | Drain and Reset; empty before driver 560."""
    fabric: tuple[str, str] = ("N/A", "N/A")
    """State (N/A | Not Supported | Not Started | In Progress | Completed) and status of the NVLink fabric."""

    @property
    def sm(self) -> str:
        return f"sm_{self.capability.replace('.', '')}" if self.capability else ""


def module_version(host: Host) -> str:
    """Of the kernel module that is loaded: "535.183.01"; empty where none is."""
    found = re.match(r"[\d.]+", host.read("/sys/module/nvidia/version"))
    found = found or re.search(r"(?<= )\d+\.[\d.]+(?= )", host.read("/proc/driver/nvidia/version"))
    return found[0] if found else ""


def open_module(host: Host) -> bool:
    return "Open Kernel Module" in host.read("/proc/driver/nvidia/version")


def library_versions(host: Host) -> tuple[str, ...]:
    """Versions of the user-space half, oldest first, as the names of its files say them."""
    names = [name for folder in LIBRARY_FOLDERS for name in host.names(folder)]
    found = {match[1] for name in names if (match := re.fullmatch(r"lib(?:cuda|nvidia-ml)\.so\.(\d+\.[\d.]+)", name))}
    return tuple(sorted(found, key=numbers))


def driver_version(host: Host) -> str:
    """The module's; nvidia-smi's where there is no module to ask, as in WSL."""
    tree = log(host)
    return module_version(host) or (tree.findtext("driver_version", "") if tree is not None else "")


def here(host: Host) -> bool:
    """Whether any part of a driver is here."""
    return bool(module_version(host) or library_versions(host) or not smi(host).missing)


def on_the_bus(host: Host, kind: str) -> int:
    """How many devices of NVIDIA have a PCI class that begins with `kind`."""
    slots = [f"{PCI}/{name}" for name in host.names(PCI)]
    return sum(
        host.read(f"{slot}/vendor").strip() == VENDOR and host.read(f"{slot}/class").startswith(kind) for slot in slots
    )


def smi(host: Host) -> Ran:
    return host.run(*QUERY, patience=PATIENCE)


def log(host: Host) -> ElementTree.Element | None:
    """The answer of nvidia-smi; None where there is none that can be read."""
    ran = smi(host)
    if not ran.ok or "<nvidia_smi_log>" not in ran.out:
        return None
    try:
        return ElementTree.fromstring(ran.out[ran.out.index("<nvidia_smi_log>") :])
    except ElementTree.ParseError:
        return None


def gpus(host: Host) -> tuple[Gpu, ...]:
    """In nvidia-smi's order; empty where it does not answer."""
    tree = log(host)
    rows = tree.findall("gpu") if tree is not None else []
    ran = host.run(*CAPABILITIES, patience=PATIENCE) if rows else Ran()
    told = ran.out.split() if ran.ok else []  # a driver before 510 does not know the field
    capabilities = told if len(told) == len(rows) else [""] * len(rows)
    return tuple(_gpu(row, capability) for row, capability in zip(rows, capabilities, strict=True))


def without(host: Host) -> str:
    """Why there is no GPU to judge; empty where there is one."""
    if not here(host):
        return NOT_HERE
    if log(host) is None:
        return "nvidia-smi does not tell"
    seen = gpus(host)
    if not seen:
        return "the driver shows no GPU"
    return "" if any(gpu.capability for gpu in seen) else "no GPU of a known compute capability"


def _gpu(row: ElementTree.Element, capability: str) -> Gpu:
    def text(path: str, default: str = "N/A") -> str:
        return (row.findtext(path) or default).strip()

    name = text("product_name", "a GPU without a name")
    known = facts.load().gpu(name)
    mebibytes = re.match(r"\d+", text("fb_memory_usage/total"))
    return Gpu(
        name, int(mebibytes[0]) << 20 if mebibytes else 0,
        capability if re.fullmatch(r"\d+\.\d", capability) else known.compute_capability if known else "",
        (text("ecc_mode/current_ecc"), text("ecc_mode/pending_ecc")), text("persistence_mode"),
        text("mig_mode/current_mig"), text("gpu_recovery_action", ""), (text("fabric/state"), text("fabric/status")),
    )  # fmt: skip


def kinds(found: tuple[Gpu, ...]) -> str:
    """Like ones together: `8 x NVIDIA H100 80GB HBM3`."""
    count = {gpu.name: sum(other.name == gpu.name for other in found) for gpu in found}
    return " + ".join(f"{n} x {name}" for name, n in count.items())
