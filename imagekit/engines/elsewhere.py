"""Builders of buildx that are not the engine's own: BuildKit in a cluster, on another machine, in a container.

They see none of the engine's images, so a base that is in no registry is sent along. What they make comes back into the
engine, and is proven there.
"""

from __future__ import annotations

import re
import subprocess

from imagekit.engines import buildkit
from imagekit.errors import Surroundings, UsageError

ENGINE = "docker"
"""The driver of a builder that is an engine."""


def check(name: str) -> None:
    """Raises UsageError for a builder that cannot be used, Surroundings where there is no buildx.

    Whether it answers the build itself finds out.
    """
    if not buildkit.has_buildx():
        raise Surroundings("--builder needs buildx", hint="install docker-buildx")
    done = subprocess.run(["docker", "buildx", "inspect", name], capture_output=True, text=True, check=False)
    found = re.search(r"^Driver:\s+(\S+)$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise UsageError(
            f"there is no builder {name}", details=done.stderr.strip().splitlines()[-2:],
            hint="docker buildx ls shows them",
        )  # fmt: skip
    if found[1] == ENGINE:
        raise UsageError(
            f"the builder {name} is a Docker Engine, which keeps what it builds",
            hint=f"DOCKER_CONTEXT={name} imagekit build ... builds, proves and tags there",
        )
