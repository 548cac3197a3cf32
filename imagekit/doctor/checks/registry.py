"""Whether docker holds a login for the registries of the site. What the login is, is never read.

config.json of the docker command: `auths` has one entry per registry (empty where a store has the login), `credHelpers`
and `credsStore` name a program docker-credential-NAME, whose `list` gives registries and user names without secrets
(https://github.com/docker/docker-credential-helpers).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""Docker Hub's name in config.json, which is a URL for historical reasons."""


def check(host: Host) -> Iterator[Finding]:
    registry = host.site.settings.registry
    wanted = {key: value for key, value in (("push", registry.push), ("prod", registry.prod)) if value}
    if not wanted:
        yield Finding("registry", "SKIP", "the site names no registry")
        return
    path = f"{host.environ.get('DOCKER_CONFIG') or host.environ.get('HOME', '') + '/.docker'}/config.json"
    text = host.read(path)
    try:
        config = json.loads(text or "{}")
        assert isinstance(config, dict)
    except (ValueError, AssertionError):
        remedy = f"correct it, or move it away and log in again: docker login {name_of(next(iter(wanted.values())))}"
        yield Finding("registry", "FAIL", f"{path} is not JSON: docker finds no login", remedy)
        return
    for name in dict.fromkeys(map(name_of, wanted.values())):
        keys = ", ".join(f"registry.{key}" for key, value in wanted.items() if name_of(value) == name)
        yield _login(host, config, name, keys)


def name_of(repository: str) -> str:
    """The registry of a repository: its first part, where that is a host (has a dot, a port, or is localhost)."""
    first = repository.partition("/")[0]
    return first if "/" in repository and (any(c in first for c in ".:") or first == "localhost") else HUB


def _login(host: Host, config: Mapping[str, Any], name: str, keys: str) -> Finding:
    figures: dict[str, object] = {"registry": name, "login": False}
    helper = (config.get("credHelpers") or {}).get(name) or config.get("credsStore") or ""
    if helper:
        ran = host.run(f"docker-credential-{helper}", "list")
        if ran.missing or ran.hung:
            why = "is not installed" if ran.missing else "does not answer"
            return Finding(
                "registry", "FAIL" if ran.missing else "WARN",
                f"{keys}: docker-credential-{helper}, which has the login of {name}, {why}",
                f"install it, or take it out of docker's config.json and run: docker login {name}", figures,
            )  # fmt: skip
        if (config.get("credHelpers") or {}).get(name) or _has(_listed(ran.out), name):
            said = f"{keys}: docker's store {helper} has a login for {name}"
            return Finding("registry", "OK", said, "", {**figures, "login": True})
    entry = _entry(config.get("auths") or {}, name)
    if entry and not helper and any(entry.get(key) for key in ("auth", "identitytoken", "registrytoken")):
        return Finding("registry", "OK", f"{keys}: docker has a login for {name}", "", {**figures, "login": True})
    return Finding("registry", "WARN", f"{keys}: docker has no login for {name}", f"docker login {name}", figures)


def _listed(out: str) -> Mapping[str, Any]:
    try:
        found = json.loads(out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entry(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((of[key] or {} for key in of if _same(key, name)), {})


def _has(of: Mapping[str, Any], name: str) -> bool:
    return any(_same(key, name) for key in of)


def _same(key: str, name: str) -> bool:
    if name == HUB:
        return key in (HUB_KEY, HUB)
    return key.partition("://")[2].split("/")[0] == name if "://" in key else key.split("/")[0] == name
