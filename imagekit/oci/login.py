"""Who somebody is for a registry: docker's own credential store, then netrc. Looked up when a registry asks."""

from __future__ import annotations

import base64
import json
import netrc
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit.errors import Surroundings
from imagekit.oci.reference import HUB

HUB_KEY = "https://index.docker.io/v1/"
"""Under which docker keeps the login of Docker Hub."""

PATIENCE = 30
"""Seconds for a credential helper: some ask a person."""

_NONE = re.compile(r"not found|no credentials", re.IGNORECASE)
"""What helpers say that have none: each in words of its own."""


@dataclass(frozen=True)
class Login:
    user: str
    password: str
    token: str = ""
    """An identity token, where the store has that instead of a password."""

    def __repr__(self) -> str:
        return "Login(...)"


def find(host: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """The login of a registry; None where there is none. Raises Surroundings for a helper that fails."""
    folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    config = _config(folder / "config.json")
    helper = _table(config, "credHelpers").get(host) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        return _asked(helper, HUB_KEY if host == HUB else host) or _netrc(host, environment)
    return _stored(_table(config, "auths"), host, folder) or _netrc(host, environment)


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise Surroundings(f"docker's configuration {path} cannot be read: {reason}") from None
    return found if isinstance(found, dict) else {}


def _table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _stored(auths: Mapping[str, Any], host: str, folder: Path) -> Login | None:
    """By host, however the address was written; Docker Hub's is kept under an address of its own."""
    wanted = {host, "index.docker.io"} if host == HUB else {host}
    rows = {
        re.sub(r"^https?://", "", name).split("/")[0]: entry for name, entry in auths.items() if isinstance(entry, dict)
    }
    entry = next((rows[name] for name in sorted(wanted) if rows.get(name)), None)
    if entry is None:
        return None
    try:
        user, _, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except ValueError:
        raise Surroundings(f"the login of {host} in {folder / 'config.json'} is damaged", hint="docker login") from None
    token = str(entry.get("identitytoken") or "")
    return Login(user or str(entry.get("username") or ""), password or str(entry.get("password") or ""), token)


def _asked(helper: str, host: str) -> Login | None:
    """By the protocol of docker-credential-helpers: the host on stdin, JSON on stdout."""
    program = f"docker-credential-{helper}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        raise Surroundings(f"docker's configuration names the credential helper {helper!r}, which is no name of one")
    try:
        done = subprocess.run(
            [program, "get"], input=host, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError:
        raise Surroundings(
            f"{program}, which docker's configuration names, is not installed", hint=f"docker login {host}"
        ) from None
    except OSError as error:
        raise Surroundings(f"{program} cannot be run: {error.strerror}", hint=f"docker login {host}") from None
    except subprocess.TimeoutExpired:
        raise Surroundings(f"{program} did not answer within {PATIENCE} s") from None
    if done.returncode:
        if _NONE.search(done.stdout + done.stderr):
            return None
        # what it printed may hold a secret
        raise Surroundings(f"{program} failed for {host} with {done.returncode}", hint=f"docker login {host}")
    try:
        said = json.loads(done.stdout)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Surroundings(f"{program} answered in a form that is not its protocol's") from None
    return Login("", "", secret) if user == "<token>" else Login(user, secret)


def _netrc(host: str, environment: Mapping[str, str]) -> Login | None:
    path = Path(environment.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(str(path)).authenticators(host.rpartition(":")[0] or host)
    except (OSError, netrc.NetrcParseError):
        return None
    return Login(found[0], found[2] or "") if found else None
