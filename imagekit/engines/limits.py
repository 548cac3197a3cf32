"""Whether an engine may give a container what it is asked for; found out by asking, because no API tells it."""

from __future__ import annotations

import os

import docker
from docker.errors import APIError

from imagekit.engines.docker_api import RUN_LABEL, Engine
from imagekit.scratch import cache


def can_lock_memory(engine: Engine, image: str) -> bool:
    """Whether a container may have `memlock=-1`: a rootless engine, or one in a container, may not raise the limit.

    Starts `true` in the image once per engine; a yes is remembered.
    """
    known = cache() / "engines" / f"{str(engine.client.info().get('ID') or 'unknown').replace('/', '_')}-memlock"
    if known.is_file():
        return True
    unlimited = docker.types.Ulimit(name="memlock", soft=-1, hard=-1)
    with engine.started(
        image=image, entrypoint=["true"], command=[], network_mode="none", ulimits=[unlimited],
        labels={RUN_LABEL: str(os.getpid())},
    ) as container:  # fmt: skip
        try:
            container.start()
        except APIError as error:
            return "rlimit" not in str(error.explanation)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.touch()
    return True
