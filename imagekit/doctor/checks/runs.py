"""Which profiles and which images can run here: what their preflight would say on this machine.

A profile is judged by the facts of the versions that it resolves to, an image by its labels (docs/image.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imagekit import contract, pipeline, profile
from imagekit.compat import facts
from imagekit.compat.nodes import numbers
from imagekit.doctor import nvidia, preflight
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host
from imagekit.errors import Error
from imagekit.profile import Wishes

BUILDING = "imagekit-building:"
"""assemble's name for an image that is still being built."""


def check(host: Host) -> Iterator[Finding]:
    seen = [gpu for gpu in nvidia.gpus(host) if gpu.capability]
    gpus = [(gpu.name, gpu.memory, gpu.capability) for gpu in seen]
    node = preflight.node(gpus, nvidia.driver_version(host), host.read("/proc/cpuinfo"))
    absent = nvidia.without(host)
    for name in profile.names():
        yield _profile(host, name, node, absent)
    for image in host.engine.images:
        names = [name for name in image.get("RepoTags") or () if not name.startswith(BUILDING)]
        if names:  # the shortest is the one that people type
            yield _image(min(names, key=len), image, node, absent)


def _profile(host: Host, name: str, node: Any, absent: str) -> Finding:
    try:
        asked = profile.load(name)
        if (asked.base or host.site.settings.base.default).startswith("image:"):  # it may have to be pulled
            return Finding("profile", "SKIP", f"{name}: its base is an image, which is not pulled for this")
        _, r = pipeline.resolved(name, Wishes(), host.site, lambda *_: None)
    except Error as error:
        return Finding("profile", "WARN", f"{name}: {error.message}", error.hint)
    about = {
        "torch": r.torch, "cuda": r.cuda, "min_driver": r.min_driver, "gpu_architectures": list(r.gpu_architectures),
        "cpu_level": r.cpu_level,
    }  # fmt: skip
    return _said("profile", name, about, preflight.obstacle(about, node), absent, _way_out(name, node))


def _image(name: str, image: Mapping[str, Any], node: Any, absent: str) -> Finding:
    labels = contract.told(image.get("Labels") or {})
    about = {
        "torch": labels.get("torch", "?"), "cuda": labels.get("cuda", ""), "min_driver": labels.get("min-driver", ""),
        "gpu_architectures": labels.get("gpu-architectures", "").split(), "cpu_level": labels.get("cpu-level", ""),
    }  # fmt: skip
    return _said("image", name, about, preflight.obstacle(about, node), absent, "")


def _way_out(name: str, node: Any) -> str:
    """The newest CUDA that this driver and these GPUs can run, as a wish; the resolver finds a torch for it."""
    known = facts.load()
    driver = numbers(node.driver)
    models = [found for gpu in node.gpus if (found := known.gpu(gpu.name))]
    fits = [
        toolkit.version for toolkit in known.toolkits
        if driver >= numbers(toolkit.compat_driver)
        and all(numbers(gpu.min_cuda) <= numbers(toolkit.version) for gpu in models)
        and all(numbers(toolkit.version) <= numbers(gpu.max_cuda) for gpu in models if gpu.max_cuda)
    ]  # fmt: skip
    if not fits:
        return "a newer driver" if driver else ""
    newest = max(fits, key=numbers)
    return f"imagekit build {name} --cuda {newest}: the newest CUDA for this driver and these GPUs"


def _said(kind: str, name: str, about: Mapping[str, Any], obstacle: str, absent: str, hint: str) -> Finding:
    stack = f"torch {about['torch']} CUDA {about['cuda'] or 'none'}"
    figures = {"name": name, "runs": not obstacle, "on_gpu": not obstacle and not absent, "why_not": obstacle or absent}
    if obstacle:
        reason, _, remedy = obstacle.partition(": ")
        remedy = "\n".join(line for line in (remedy, hint) if line and remedy) or "a machine with a newer CPU"
        return Finding(kind, "WARN", f"{name} does not run here ({stack}): it {reason}", remedy, figures)
    if absent:
        return Finding(kind, "SKIP", f"{name} runs on the CPU ({stack}); on a GPU not: {absent}", "", figures)
    return Finding(kind, "OK", f"{name} runs here ({stack})", "", figures)
