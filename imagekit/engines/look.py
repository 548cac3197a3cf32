"""What an engine tells of itself, asked without changing anything: for `imagekit doctor`.

Unlike docker_api.Engine this refuses nothing: an engine that is too old, or that is no Docker, is looked at as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
from docker.errors import DockerException

from imagekit.engines import choice, endpoint
from imagekit.engines.docker_api import MACHINE
from imagekit.engines.endpoint import ssh_client, unreachable
from imagekit.errors import Surroundings

OURS = "io.imagekit.profile"
"""The label that every image of imagekit has."""


@dataclass(frozen=True)
class Look:
    endpoint: str = ""
    """Where it is, and who chose it: "unix:///var/run/docker.sock", "tcp://... (context build)"."""
    trouble: Surroundings | None = None
    """Why nothing more is known."""
    version: Mapping[str, Any] = field(default_factory=dict)
    """GET /version of the Engine API."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """GET /info."""
    images: tuple[Mapping[str, Any], ...] = ()
    """GET /images/json of imagekit's own: RepoTags, Id, Labels."""
    builder: str = ""
    """Why BuildKit cannot be had; empty when it can."""
    buildx: str = ""
    """Version of the docker command's buildx; empty where it has none."""
    local: bool = False
    """Whether its disk is this machine's."""

    @property
    def podman(self) -> str:
        """Podman's version, where it is podman that answers (`Components` of /version); else ""."""
        parts = [part for part in self.version.get("Components") or () if part.get("Name") == "Podman Engine"]
        return str(parts[0].get("Version") or "?") if parts else ""

    @property
    def rootless(self) -> bool:
        return any("rootless" in str(entry) for entry in self.info.get("SecurityOptions") or ())


def _buildx(timeout: float) -> str:
    try:
        done = subprocess.run(
            ["docker", "buildx", "version"], capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.split()  # github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0
    return words[1] if done.returncode == 0 and len(words) > 1 else ""


def look(timeout: float) -> Look:
    """Never raises for an engine: what is wrong with it is in `trouble`. `timeout`: seconds for one answer."""
    at = None
    try:
        at = endpoint.find()
        client = docker.DockerClient(**ssh_client(at), **at.settings, timeout=timeout)
        version, info = dict(client.version()), dict(client.info())
        images = client.api.images(filters={"label": OURS, "dangling": False})  # without names nobody runs them
        client.close()
    except Surroundings as error:
        return Look(str(at or ""), error)
    except (DockerException, requests.RequestException, ValueError, TypeError) as error:
        return Look(str(at or ""), unreachable(str(error) or type(error).__name__, at.host if at else ""))
    local = bool(at.socket) and info.get("Name") == MACHINE  # a socket may lead to another machine
    return Look(str(at), None, version, info, tuple(images), choice.trouble(), _buildx(timeout), local)
