"""How the GPUs are connected, and the fabric manager that machines with an NVSwitch need before CUDA starts.

- https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/: without it cuInit says "system not yet
  initialized" (802), and it runs only in the driver's own version.
- The fabric's state of a GPU: https://github.com/siderolabs/extensions/pull/717. A100 has none, although it needs the
  service (https://github.com/bottlerocket-os/bottlerocket/pull/3873); GB200 may be complete without a service of its
  own (https://github.com/leptonai/gpud/pull/1106). So the state decides where there is one, else the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagekit.doctor import nvidia
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

NONE = ("N/A", "Not Supported", "[N/A]", "")
SERVICE = "nvidia-fabricmanager"


def check(host: Host) -> Iterator[Finding]:
    gpus = nvidia.gpus(host)
    if not gpus:
        yield Finding("nvlink", "SKIP", nvidia.without(host))
        return
    states = {gpu.fabric for gpu in gpus if gpu.fabric[0] not in NONE}
    switches = nvidia.on_the_bus(host, nvidia.BRIDGE)
    if states or switches:
        yield _fabric(host, states, switches)
    if len(gpus) > 1:
        yield _topology(host, bool(states or switches))


def _fabric(host: Host, states: set[tuple[str, str]], switches: int) -> Finding:
    service = host.run("systemctl", "is-active", SERVICE)
    active = service.out.strip() or "not known"
    figures = {"switches": switches, "states": sorted(map(list, states)), "service": active}
    remedy = (
        f"sudo systemctl enable --now {SERVICE}; journalctl -u {SERVICE} says why it does not start\n"
        f"its package has to be of the driver's version, {nvidia.driver_version(host)}; B200 and later need nvlsm too"
    )
    if not switches:
        remedy += "\na virtual machine without an NVSwitch cannot mend it: its host has to set up the fabric"
    bad = sorted(f"{state} ({status})" if status not in NONE else state for state, status in states
                 if state != "Completed" or status not in ("Success", *NONE))  # fmt: skip
    if bad:
        said = f"the NVLink fabric is not ready: {', '.join(bad)}; fabric manager {active}"
        return Finding("fabric", "FAIL", f'{said}; CUDA says "system not yet initialized"', remedy, figures)
    if states:
        return Finding("fabric", "OK", f"the NVLink fabric is complete; fabric manager {active}", "", figures)
    if active == "active":
        return Finding("fabric", "OK", f"{switches} NVSwitches; fabric manager active", "", figures)
    if service.missing:
        return Finding("fabric", "SKIP", f"{switches} NVSwitches, and no systemctl to ask for the fabric manager")
    said = f'{switches} NVSwitches and no running fabric manager ({active}); CUDA says "system not yet initialized"'
    return Finding("fabric", "FAIL", said, remedy, figures)


def _topology(host: Host, fabric: bool) -> Finding:
    """The links between GPUs, out of the matrix of `nvidia-smi topo -m`."""
    ran = host.run("nvidia-smi", "topo", "-m", patience=nvidia.PATIENCE)
    rows = [re.split(r"\s+", line.strip()) for line in ran.out.splitlines() if re.match(r"\s*GPU\d+\s", line)]
    rows = [row for row in rows if "X" in row]  # the head begins with GPU0 as well
    links = [link for number, row in enumerate(rows) for link in row[number + 2 : len(rows) + 1]]
    if not ran.ok or not links:
        return Finding("nvlink", "SKIP", "nvidia-smi topo -m does not tell how the GPUs are connected")
    count = {link: links.count(link) for link in sorted(set(links))}
    said = ", ".join(f"{n} of {len(links)} pairs {link}" for link, n in count.items())
    figures: dict[str, object] = {"pairs": count}
    by_nvlink = [link for link in count if link.startswith("NV")]
    if fabric and len(by_nvlink) != len(count):
        return Finding(
            "nvlink", "WARN", f"{said}: GPUs of one fabric are connected by PCIe",
            "nvidia-smi nvlink --status shows which links are down; a GPU that did not join needs a reset", figures,
        )  # fmt: skip
    kind = "NVLink" if len(by_nvlink) == len(count) else "PCIe, no NVLink" if not by_nvlink else "NVLink in part"
    return Finding("nvlink", "OK", f"{kind}: {said}", "", figures)
