"""An image of an engine into a registry, by the engine itself and with docker's own login."""

from __future__ import annotations

from collections.abc import Callable

import requests
from docker.errors import APIError, DockerException

from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings


def push(engine: Engine, image: str, name: str, progress: Callable[[int, int], None] = lambda *_: None) -> str:
    """The digest of the manifest that the engine made of an image, under HOST/REPOSITORY:TAG. Raises Surroundings.

    `progress(bytes sent, bytes to send)`. The API answers with 200 whatever happens, and docker-py raises nothing
    (docker-py #1772): what went wrong is a line among many.
    """
    repository, _, tag = name.rpartition(":")
    host = repository.partition("/")[0]
    kept = engine.image(name)
    api, sent, digest = engine.api(None), dict[str, tuple[int, int]](), ""
    try:
        engine.tag(image, name)
        for line in api.push(repository, tag=tag, stream=True, decode=True):
            problem = line.get("errorDetail") or line.get("error")
            if problem:
                told = problem.get("message", "") if isinstance(problem, dict) else str(problem)
                hint = f"docker login {host}" if "denied" in told or "unauthorized" in told else "push again"
                raise Surroundings(f"the engine could not push to {host}: {told[:300]}", hint=hint)
            digest = (line.get("aux") or {}).get("Digest", digest)
            done = line.get("progressDetail") or {}
            if done.get("total"):
                sent[line.get("id", "")] = int(done["current"]), int(done["total"])
                progress(sum(now for now, _ in sent.values()), sum(total for _, total in sent.values()))
    except (APIError, DockerException, requests.RequestException) as error:
        raise Surroundings(f"the engine could not push to {host}: {error}") from None
    finally:
        api.close()
        if kept is None and len((engine.image(image) or {}).get("RepoTags") or []) > 1:  # the last name is the image
            engine.untag(name)
    if not digest:
        raise Surroundings(f"the engine says nothing of what it pushed to {host}", hint="push again")
    return digest
