"""The GPUs, as the driver sees them."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit import amounts
from imagekit.doctor import nvidia
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host
from imagekit.doctor.nvidia import Gpu


def check(host: Host) -> Iterator[Finding]:
    found = nvidia.gpus(host)
    if not found:
        on_the_bus = nvidia.on_the_bus(host, nvidia.DISPLAY)
        if nvidia.log(host) is not None and on_the_bus:
            yield Finding(
                "gpu", "FAIL", f"the driver sees no GPU, the PCI bus has {on_the_bus}",
                "dmesg | grep -i nvrm says why; a driver may be too new for an old GPU, or too old for a new one",
            )  # fmt: skip
        else:
            yield Finding("gpu", "SKIP", nvidia.without(host))
        return
    for kind in dict.fromkeys(found):
        yield _kind(kind, found.count(kind))


def _kind(gpu: Gpu, count: int) -> Finding:
    figures = {
        "name": gpu.name, "count": count, "memory": gpu.memory, "compute_capability": gpu.capability,
        "ecc": gpu.ecc[0], "persistence": gpu.persistence, "mig": gpu.mig,
    }  # fmt: skip
    words = [f"{count} x {gpu.name}, {amounts.size(gpu.memory)}"]
    words.append(f"compute capability {gpu.capability} ({gpu.sm})" if gpu.sm else "compute capability not known")
    words += [f"ECC {_switch(gpu.ecc[0])}"] if gpu.ecc[0] != "N/A" else []
    words += [f"persistence {_switch(gpu.persistence)}"] if gpu.persistence != "N/A" else []
    words += ["MIG on"] if gpu.mig == "Enabled" else []
    said = ", ".join(words)
    if gpu.recovery not in ("", "None", "N/A"):
        remedy = f"drain this machine, then: {'reboot it' if gpu.recovery == 'Reboot' else 'nvidia-smi --gpu-reset'}"
        return Finding("gpu", "FAIL", f"the driver asks for {gpu.recovery} of a GPU; {said}", remedy, figures)
    if gpu.ecc[0] != gpu.ecc[1]:
        remedy = "reboot, or nvidia-smi --gpu-reset: what is set now is not what was asked for"
        return Finding("gpu", "WARN", f"{said}; ECC will be {_switch(gpu.ecc[1])} after a reset", remedy, figures)
    return Finding("gpu", "OK", said, "", figures)


def _switch(word: str) -> str:
    return {"Enabled": "on", "Disabled": "off"}.get(word, word)
