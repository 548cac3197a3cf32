"""Which engine is meant: DOCKER_HOST, a docker context, or the default socket.

docker-py and the `docker` command each find it by themselves, and both are used. They differ where docker-py (before
7.2) does not know contexts, or does not find them: it looks for them beside config.json, and where it finds nothing it
takes the default socket in silence.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import DockerException

from imagekit.errors import Surroundings

DEFAULT = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Endpoint:
    host: str
    """unix://, tcp:// or ssh://, as docker writes it."""
    origin: str = ""
    """DOCKER_HOST, or `context NAME`; empty when nobody chose."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments of docker.APIClient."""

    @property
    def socket(self) -> str:
        """Path of the socket; empty for another machine."""
        path = re.sub(r"^(http\+)?unix:/*", "/", self.host)
        return os.path.realpath(path) if path.startswith("/") else ""

    @property
    def usual(self) -> bool:
        """The default socket: nothing that needs to be said."""
        return _same(self.host, DEFAULT)

    def __str__(self) -> str:
        host = re.sub(r"//[^/@]*:[^/@]*@", "//***@", self.host)
        return f"{host} ({self.origin})" if self.origin else host


def find() -> Endpoint:
    """The engine that docker-py and the docker command agree on. Raises Surroundings where they do not."""
    ours, theirs = of_docker_py(), of_command()
    if theirs is not None and not _same(ours.host, theirs.host):
        raise Surroundings(
            "the docker command and imagekit's own client (docker-py) mean different engines",
            details=[f"docker command   {theirs}", f"docker-py        {ours}"],
            hint=f"export DOCKER_HOST={theirs.host}     both follow it",
        )
    return Endpoint(ours.host, theirs.origin if theirs else ours.origin, _with_port(ours.settings))


def _with_port(settings: dict[str, Any]) -> dict[str, Any]:
    """The port of an ssh:// engine, as the user's ssh configuration has it: docker-py takes 22 where the URL says none,
    and the docker command lets ssh decide (`ssh -G` prints what it would use)."""
    url = urlsplit(settings.get("base_url", ""))
    if url.scheme != "ssh" or not url.hostname or url.port or shutil.which("ssh") is None:
        return settings
    done = subprocess.run(["ssh", "-G", "--", url.netloc], capture_output=True, text=True, check=False)
    port = re.search(r"^port (\d+)$", done.stdout, re.MULTILINE)
    return {**settings, "base_url": f"ssh://{url.netloc}:{port[1]}"} if port else settings


def of_docker_py() -> Endpoint:
    """What docker.from_env() means."""
    settings = docker.utils.kwargs_from_env()
    if "base_url" in settings:
        return Endpoint(settings["base_url"], "DOCKER_HOST", settings)
    try:
        found = ContextAPI.kwargs_from_context() if hasattr(ContextAPI, "kwargs_from_context") else {}
    except DockerException:
        raise
    except Exception as error:  # docker-py raises bare Exceptions for a damaged context
        raise Surroundings("the docker context cannot be read", details=[str(error)[:200]]) from None
    host = str(found.get("base_url") or DEFAULT).removeprefix("http+")
    settings = {**found, **settings, "base_url": host}
    return Endpoint(host, "", settings)


def of_command() -> Endpoint | None:
    """What the docker command means; None where there is none. It is asked only when something was chosen."""
    host = os.environ.get("DOCKER_HOST")
    if shutil.which("docker") is None:
        return None
    if host:
        return Endpoint(host, "DOCKER_HOST")
    if host is None and not os.environ.get("DOCKER_CONTEXT") and not _selected():
        return Endpoint(DEFAULT)
    call = ["docker", "context", "inspect", "--format", "{{.Name}} {{.Endpoints.docker.Host}}"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Surroundings(
            "the docker command cannot tell which engine it means", details=done.stderr.strip().splitlines()[:3],
            hint="docker context ls shows the contexts; docker context use default, or unset DOCKER_CONTEXT",
        )  # fmt: skip
    name, _, host = done.stdout.strip().partition(" ")
    return Endpoint(host, "" if name == "default" else f"context {name}")


def _selected() -> str:
    """The context of `docker context use`."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _same(one: str, other: str) -> bool:
    a, b = Endpoint(one), Endpoint(other)
    return a.socket == b.socket if a.socket or b.socket else one.rstrip("/") == other.rstrip("/")


def ssh_client(at: Endpoint) -> dict[str, bool]:
    """The ssh of this machine, with its own configuration, as the docker command uses it."""
    return {"use_ssh_client": True} if at.host.startswith("ssh://") else {}


GONE = "the Docker Engine does not answer any more"

BACK = "is it running? docker version. Then build again: what is in its build cache is not made again"


def gone(reason: str, at: Endpoint) -> Surroundings:
    """Of an engine that answered before."""
    details = [reason.splitlines()[0][:200]] if reason else []
    return Surroundings(GONE if at.usual else f"{GONE}: {at}", details=details, hint=BACK)


def unreachable(reason: str, host: str = "") -> Surroundings:
    """Why nothing answers at `host`, in the words of docker-py, as an error with a hint."""
    if "paramiko" in reason:
        return Surroundings(
            "docker-py cannot reach an engine by ssh:// without paramiko",
            hint="pip install 'docker[ssh]', or a tunnel: ssh -nNTL /tmp/docker.sock:/var/run/docker.sock HOST &"
            " export DOCKER_HOST=unix:///tmp/docker.sock",
        )
    if "Permission" in reason:
        return Surroundings(
            "this user may not talk to the Docker Engine",
            hint="sudo usermod -aG docker $USER, then log in again",
        )
    if host.startswith("ssh://"):
        return Surroundings(
            "no Docker Engine answers over ssh",
            details=[reason.splitlines()[0][:200]],
            hint=f"does this answer?  ssh {host.removeprefix('ssh://')} docker version",
        )
    return Surroundings(
        "no Docker Engine answers",
        details=[reason.splitlines()[0][:200]],
        hint="start it (systemctl start docker), or set DOCKER_HOST; imagekit render needs none",
    )
