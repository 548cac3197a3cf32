"""Which builder: BuildKit where the docker command reaches the engine and can do it, else the classic one."""

from __future__ import annotations

import subprocess

from imagekit.engines import buildkit
from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings

BUILDERS = ("buildkit", "classic")

ONLY_BUILDX = 23
"""First docker command that has BuildKit in buildx only; before, DOCKER_BUILDKIT=1 is enough."""


def builder(wanted: str, engine: Engine) -> tuple[str, str]:
    """(buildkit | classic, why the last resort was taken). `wanted`: auto | buildkit | classic.

    Raises Surroundings when BuildKit is wanted and cannot be had.
    """
    if wanted == "classic":
        return "classic", ""
    missing = trouble()
    if not missing:
        return "buildkit", ""
    if wanted == "buildkit":
        raise Surroundings(
            f"BuildKit cannot be had at {engine.endpoint}: {missing}",
            hint="install docker-cli and docker-buildx, or --engine classic",
        )
    return "classic", missing


def trouble() -> str:
    """Why BuildKit cannot be had; empty when it can."""
    try:
        if buildkit.has_buildx():
            return ""
        call = ["docker", "version", "--format", "{{.Client.Version}}"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    except OSError:
        return "the docker command is missing"
    if done.returncode:
        return "the docker command does not reach the engine"
    version = done.stdout.strip()
    major = version.split(".")[0]
    if not major.isdigit() or int(major) >= ONLY_BUILDX:
        return f"docker {version} builds with BuildKit through buildx only, which is missing"
    return ""
