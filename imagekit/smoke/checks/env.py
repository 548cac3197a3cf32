"""A variable that is missing breaks torch.compile for users without a passwd entry; one too many shows GPUs to pods
that asked for none, or sends every download through the builder's proxy."""

from __future__ import annotations

import os
import shutil

from ..check import Check, Failure, Figures, Image

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def problems(image: Image, env: dict[str, str]) -> list[str]:
    """What is wrong with the variables, one sentence each."""
    found = [f"{name} is not set" for name in ("HOME", "USER", "LOGNAME", "LANG") if not env.get(name)]
    if "utf-8" not in env.get("LANG", "").lower().replace("utf8", "utf-8"):
        found.append(f"LANG={env.get('LANG', '')} is not UTF-8")
    if "IMAGEKIT_IMAGE_ENV" in os.environ and env.get("NVIDIA_VISIBLE_DEVICES"):
        found.append(f"NVIDIA_VISIBLE_DEVICES={env['NVIDIA_VISIBLE_DEVICES']} is baked in")
    capabilities = env.get("NVIDIA_DRIVER_CAPABILITIES", "").split(",")
    if "nvdec" in image.features and not {"video", "all"} & set(capabilities):
        found.append(f"NVIDIA_DRIVER_CAPABILITIES={','.join(capabilities)} has no video")
    found += [f"{name} is set" for name in ("PYTHONHOME", "PYTHONOPTIMIZE", "PYTHONSTARTUP") if env.get(name)]
    for entry in filter(None, env.get("PYTHONPATH", "").split(":")):
        if "site-packages" in entry or "dist-packages" in entry:
            found.append(f"PYTHONPATH={env['PYTHONPATH']} puts other packages before the locked ones")
    found += [f"{name} is baked in" for name in env if name.lower() in PROXIES]
    return found + [f"{name} holds a password" for name, value in env.items() if has_password(value)]


def has_password(value: str) -> bool:
    """Whether a value is an address with a user and a password in it."""
    _, scheme, rest = value.partition("://")
    user, at, _ = rest.split("/")[0].rpartition("@")
    return bool(scheme and at and ":" in user and not user.endswith(":"))


def run(image: Image) -> Figures:
    found = problems(image, image.environment())
    python = shutil.which("python")
    if not python or not python.startswith(str(image.venv)):
        found.append(f"python on PATH is {python}")
    if found:
        raise Failure(
            found="; ".join(found),
            expected="HOME, USER, LOGNAME, LANG=C.UTF-8, the venv first on PATH, nothing of the build's surroundings",
            because="ENV lines of the image or of an overlay",
            fix="delete or set these variables there",
        )
    return {"variables": len(image.environment())}


CHECK = Check("env", "static", run, needs=("lock",))
