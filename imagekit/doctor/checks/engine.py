"""The engine: whether it answers, how old it is, what builds there, where it keeps images, and how much fits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagekit import amounts
from imagekit.doctor.check import Finding, version
from imagekit.doctor.host import Host
from imagekit.engines.look import Look

OLDEST = (20, 10)
"""As docker_api has it: the first engine whose BuildKit knows RUN --mount without a syntax line."""

ROOM, LEAST = 16_000_000_000, 2_000_000_000
"""Bytes: what a build of the largest profiles takes while it runs, and what the smallest takes."""

SLOW = {
    "vfs": "every layer is a whole copy",
    "devicemapper": "removed in Engine 25",
    "aufs": "removed in Engine 24",
    "overlay": "removed in Engine 24",
}
"""Storage drivers to leave (https://docs.docker.com/engine/deprecated/; for vfs .../storage/drivers/vfs-driver/)."""


def check(host: Host) -> Iterator[Finding]:
    look = host.engine
    yield _engine(look)
    if look.trouble is None and not look.podman:
        yield _builder(look)
        yield _storage(look)
        yield _disk(host, look)


def _engine(look: Look) -> Finding:
    if look.trouble is not None:
        at = f" at {look.endpoint}" if look.endpoint else ""
        said = "; ".join([look.trouble.message + at, *map(_plain, look.trouble.details)])
        return Finding("engine", "FAIL", said, look.trouble.hint, {"endpoint": look.endpoint})
    number = str(look.version.get("Version") or "?")
    figures = {"endpoint": look.endpoint, "version": number, "podman": look.podman, "rootless": look.rootless}
    if look.podman:
        return Finding(
            "engine", "FAIL", f"podman {look.podman} answers at {look.endpoint}; imagekit builds with Docker Engine",
            "set DOCKER_HOST to a Docker Engine, or write the context with imagekit render, which needs no engine",
            figures,
        )  # fmt: skip
    if version(number)[:2] < OLDEST:
        return Finding(
            "engine", "FAIL", f"the Docker Engine at {look.endpoint} is {number}; imagekit needs 20.10 or later",
            "upgrade Docker Engine", figures,
        )  # fmt: skip
    kind = ", rootless" if look.rootless else ""
    return Finding("engine", "OK", f"Docker {number} at {look.endpoint}{kind}", figures=figures)


def _plain(reason: str) -> str:
    """docker-py's reason without the exceptions around it: "No such file or directory"."""
    inner = re.search(r"Error\(\d+, '([^']+)'\)", reason)
    return inner[1] if inner else reason.removeprefix("Error while fetching server API version: ")


def _builder(look: Look) -> Finding:
    figures: dict[str, object] = {"buildkit": not look.builder, "buildx": look.buildx}
    if look.builder:
        return Finding(
            "builder", "WARN", f"no BuildKit: {look.builder}; only the classic builder can be had",
            "install docker-cli and docker-buildx (packages docker-ce-cli and docker-buildx-plugin of Docker's own)",
            figures,
        )  # fmt: skip
    return Finding(
        "builder", "OK", f"BuildKit, {f'buildx {look.buildx}' if look.buildx else 'without buildx'}", figures=figures
    )


def _storage(look: Look) -> Finding:
    driver = str(look.info.get("Driver") or "?")
    status = {row[0]: row[1] for row in look.info.get("DriverStatus") or () if len(row) == 2}
    files = status.get("Backing Filesystem", "")
    figures: dict[str, object] = {"driver": driver, "filesystem": files}
    if status.get("Supports d_type") == "false":
        return Finding(
            "storage", "FAIL", f"{driver} on {files} without d_type: files vanish from layers",
            "make the file system again with d_type (mkfs.xfs -n ftype=1) and move the engine's folder there", figures,
        )  # fmt: skip
    if driver in SLOW:
        return Finding(
            "storage", "WARN", f"storage driver {driver}: {SLOW[driver]}",
            'use overlay2: {"storage-driver": "overlay2"} in /etc/docker/daemon.json; images have to be made again',
            figures,
        )  # fmt: skip
    return Finding("storage", "OK", f"{driver}{f' on {files}' if files else ''}", figures=figures)


def _disk(host: Host, look: Look) -> Finding:
    root = str(look.info.get("DockerRootDir") or "")
    space = host.space(root) if look.local and root else None
    if space is None:
        return Finding("disk", "SKIP", "the engine's disk is not on this machine, or not to be seen by this user")
    figures: dict[str, object] = {"free": space.free, "total": space.total, "folder": root}
    said = f"{amounts.size(space.free)} of {amounts.size(space.total)} free in {root}"
    remedy = "docker system df shows what takes it; docker builder prune frees the build cache"
    if space.free < LEAST:
        return Finding("disk", "FAIL", f"{said}: no image can be built", remedy, figures)
    if space.free < ROOM:
        return Finding("disk", "WARN", f"{said}; a large profile takes {amounts.size(ROOM)} to build", remedy, figures)
    return Finding("disk", "OK", said, figures=figures)
