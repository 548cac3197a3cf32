"""Something else than what was locked is installed: yesterday's results cannot be had again, and torchvision beside
the wrong torch fails at its first operator."""

from __future__ import annotations

from collections import Counter
from importlib import metadata

from ..check import ALL, Check, Failure, Figures, Image, Package, canonical, installed

TORCH_FAMILY = ("torch", "torchvision", "torchaudio")


def run(image: Image) -> Figures:
    problems = [text for package in image.packages for text in differences(image, package)]
    everything = Counter(
        canonical(found.metadata["Name"]) for found in metadata.distributions() if found.metadata["Name"]
    )
    problems += [f"{name} is there {times} times" for name, times in sorted(everything.items()) if times > 1]
    if image.has("torch"):
        problems += _torch_itself()
    if problems:
        family = any(problem.startswith(TORCH_FAMILY) for problem in problems)
        raise Failure(
            found="; ".join(problems),
            expected="the versions of /opt/imagekit/lock.json",
            because=_who_installed(image, problems),
            fix="leave locked packages alone (PIP_CONSTRAINT does), or change the profile and lock again",
            on_gpu='"operator torchvision::nms does not exist" or a CUDA version error at import' if family else "",
        )
    locked = {package.name for package in image.packages}
    added = [f"{name} {metadata.version(name)}" for name in sorted(set(everything) - locked)]
    return {"locked": len(locked), "added": added}


def differences(image: Image, package: Package) -> list[str]:
    """In what the installed distribution is not the locked one."""
    found = installed(package.name)
    if found is None:
        return [f"{package.name} {package.version} is not installed"]
    public, _, local = found.version.partition("+")
    if public != package.version.partition("+")[0]:
        return [f"{package.name} {found.version} instead of {package.version}"]
    variant = image.lock.get("variant") or ""
    if package.name in TORCH_FAMILY and local and image.real_torch and local != variant:
        return [f"{package.name} {found.version} instead of +{variant}"]
    return []


def _torch_itself() -> list[str]:
    try:
        import torch
    except Exception:  # that it does not import is told by the check `imports`
        return []
    told, recorded = str(torch.__version__), metadata.version("torch")
    if told.partition("+")[0] != recorded.partition("+")[0]:
        return [f"torch.__version__ is {told}, its metadata say {recorded}"]
    return []


def _who_installed(image: Image, problems: list[str]) -> str:
    """pip and uv sign their work; two signatures mean that somebody came after the build."""
    usual = Counter(_installer(package.name) for package in image.packages).most_common(1)[0][0]
    for problem in problems:
        name = problem.split()[0]
        who = _installer(name)
        if who and who != usual:
            return f"{who} installed {name} after the build"
    return ""


def _installer(name: str) -> str:
    found = installed(name)
    return (found.read_text("INSTALLER") or "").strip() if found else ""


CHECK = Check("versions", "static", run, covers=(ALL,), needs=("lock",))
