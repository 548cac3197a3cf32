"""The Docker Engine through its API (docker-py): ping, inspect, tag, import, run.

docker-py has no BuildKit, so building is in `buildkit`. A container is always started detached with a time limit and
removed in the end: `containers.run` of docker-py waits for ever and loses the log of what it removes.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from imagekit import scratch
from imagekit.engines import endpoint, saved
from imagekit.engines.container import archive, devices, put, to_the_end
from imagekit.engines.result import Result
from imagekit.errors import Surroundings, UsageError

API_TIMEOUT = 60
"""Seconds without an answer of the engine."""

IMPORT_TIMEOUT = 900
RUN_LABEL = "io.imagekit.run"
"""On every container that imagekit starts: the process id, so that a later run removes those of a killed one."""

MACHINE = socket.gethostname()
MACHINE_LABEL = "io.imagekit.machine"
"""Whose process id RUN_LABEL is: an engine may have many machines."""

OLDEST = (20, 10)
"""First engine whose BuildKit knows RUN --mount without a syntax line."""

LINKS = (23, 0)
"""First engine whose BuildKit knows COPY --link, and takes a folder in place of a stage (Dockerfile 1.4)."""


def _sent(send: Callable[..., Any], at: endpoint.Endpoint, request: Any, **settings: Any) -> Any:
    """A request of docker-py, which lets an engine that goes away be an error of `requests`."""
    try:
        return send(request, **settings)
    except requests.RequestException as error:
        raise endpoint.gone(str(error), at) from None


class Engine:
    """One engine. `endpoint` is printed wherever it may surprise: docker-py follows docker contexts."""

    def __init__(self) -> None:
        host = ""
        try:
            self.at = endpoint.find()
            host = self.at.host
            self.client = docker.DockerClient(**endpoint.ssh_client(self.at), **self.at.settings, timeout=API_TIMEOUT)
            self.version = str(self.client.version()["Version"])
        except (DockerException, requests.RequestException, ValueError) as error:  # ValueError: a port out of range
            raise endpoint.unreachable(str(error), host) from None
        self.client.api.send = functools.partial(_sent, self.client.api.send, self.at)
        self.endpoint = "the local socket" if self.at.usual else str(self.at)
        numbers = tuple(int(part) for part in self.version.split("+")[0].split(".")[:2] if part.isdigit())
        self.links = numbers >= LINKS
        if numbers < OLDEST:
            raise Surroundings(
                f"the Docker Engine is {self.version}; imagekit needs 20.10 or later", hint="upgrade Docker Engine"
            )

    @functools.cached_property
    def host(self) -> str:
        """The engine's own name for its machine."""
        return str(self.client.info().get("Name") or "")

    @property
    def is_here(self) -> bool:
        """Whether the engine's files are this machine's.

        A socket may lead to another machine, or out of a container: the engine's own name for its machine decides.
        """
        return bool(self.at.socket) and self.host == MACHINE

    def free_disk(self) -> int | None:
        """Bytes free where the engine keeps its images; None when that is not on this machine."""
        root = Path(self.client.info().get("DockerRootDir", ""))
        return shutil.disk_usage(root).free if self.is_here and root.is_dir() else None

    def api(self, timeout: float | None) -> Any:
        """A connection of its own for something that takes long; seconds without a word, None for any number."""
        return docker.APIClient(**endpoint.ssh_client(self.at), **self.at.settings, timeout=timeout)

    def image(self, reference: str) -> dict[str, Any] | None:
        """`docker inspect` of an image, or None."""
        try:
            return dict(self.client.api.inspect_image(reference))
        except (ImageNotFound, NotFound):
            return None
        except APIError as error:
            if error.status_code == 400:
                raise UsageError(f"{reference!r} is no name of an image", hint="as pytorch:2.4.1-cuda12.1") from None
            raise Surroundings(f"the engine cannot inspect {reference}: {error.explanation}") from None

    def known_as(self, reference: str) -> str:
        """The id of an image. Raises UsageError for one that the engine does not have."""
        found = self.image(reference)
        if found is None:
            raise UsageError(f"the engine has no image {reference}", hint="docker images lists them")
        return str(found["Id"])

    def history(self, reference: str) -> list[dict[str, Any]]:
        """One entry per instruction that made the image, the first one first: CreatedBy, Size (bytes), Created."""
        try:
            return [dict(entry) for entry in reversed(self.client.api.history(reference))]
        except APIError as error:
            raise Surroundings(f"the engine cannot tell the history of {reference}: {error.explanation}") from None

    def files(self, image: str, paths: Iterable[str]) -> dict[str, bytes]:
        """Files of an image by path, those that are there; read through the archive API, nothing is started."""
        found: dict[str, bytes] = {}
        with self.started(image=image, command=["true"], labels={RUN_LABEL: str(os.getpid())}) as container:
            for path in paths:
                with contextlib.suppress(NotFound):
                    chunks, _ = container.get_archive(path)
                    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                        for member in archive:
                            file = archive.extractfile(member) if member.isreg() else None
                            if file:
                                found[f"{path.rpartition('/')[0]}/{member.name}"] = file.read()
        return found

    @contextlib.contextmanager
    def layers(self, image: str) -> Iterator[list[Callable[[], tarfile.TarFile]]]:
        """The layers of an image, the lowest first, while this lasts; the image is on the disk once more then."""
        api = self.api(IMPORT_TIMEOUT)
        try:
            with saved.layers(api, image) as found:
                yield found
        finally:
            api.close()

    def tags(self, repository: str) -> list[str]:
        return [tag for image in self.client.images.list(name=repository) for tag in image.tags]

    def tag(self, image: str, reference: str) -> None:
        repository, _, tag = reference.rpartition(":")
        self.client.api.tag(image, repository, tag)

    def untag(self, reference: str) -> bool:
        """Remove a name, and the image with its last one. False where the engine does not answer."""
        try:
            self.client.api.remove_image(reference, noprune=False)
        except (ImageNotFound, APIError):
            pass
        except Surroundings:
            return False
        return True

    def pull(self, reference: str) -> bool:
        """Whether the image could be pulled; it may take minutes."""
        try:
            self.client.images.pull(reference)
        except (APIError, requests.RequestException):
            return False
        return True

    def import_tar(self, tar: Path, repository: str, tag: str, changes: list[str]) -> None:
        api = self.api(IMPORT_TIMEOUT)
        try:
            api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=changes)
        except (APIError, requests.RequestException) as error:
            raise Surroundings(f"the engine could not import {repository}:{tag}: {error}") from None
        finally:
            api.close()

    def load(self, tar: Path) -> None:
        """The images of an archive, under the names in it. Layers that the engine holds may be missing from it."""
        api = self.api(IMPORT_TIMEOUT)
        try:
            with tar.open("rb") as stream:
                for line in api.load_image(stream, quiet=True):
                    if problem := line.get("errorDetail") or line.get("error"):
                        raise Surroundings(f"the engine could not load the image: {problem}")
        except (APIError, requests.RequestException) as error:
            raise Surroundings(f"the engine could not load the image: {error}") from None
        finally:
            api.close()

    def holds(self, diff_ids: Sequence[str]) -> int:
        """How many of the lowest layers an image here has too, in the same order.

        0 in containerd's store: it keeps blobs by their own digests, and these may be others.
        """
        if any("containerd" in str(value) for _, value in self.client.info().get("DriverStatus") or []):
            return 0
        most = 0
        for row in self.client.api.images():
            details = self.image(row["Id"])  # None where it was removed just now
            theirs = ((details or {}).get("RootFS") or {}).get("Layers") or []
            same = next((n for n, (a, b) in enumerate(zip(diff_ids, theirs, strict=False)) if a != b), None)
            most = max(most, min(len(diff_ids), len(theirs)) if same is None else same)
        return most

    def build_cache(self) -> int:
        """Bytes."""
        return sum(int(row.get("Size", 0)) for row in self.client.df().get("BuildCache") or [] if not row.get("Shared"))

    def has_gpu(self) -> bool:
        """Whether the engine can hand a GPU to a container: it knows a runtime or a device driver for it."""
        info = self.client.info()
        return "nvidia" in info.get("Runtimes", {}) or any(
            "nvidia" in str(device) for device in info.get("DiscoveredDevices") or []
        )

    def run(
        self,
        image: str,
        command: list[str],
        *,
        timeout: float,
        user: str | None = None,
        environment: dict[str, str] | None = None,
        entrypoint: list[str] | None = None,
        memory: str | None = "8g",
        shm: str = "1g",
        gpus: str = "",
        files: Mapping[str, bytes] | None = None,
        folders: Mapping[str, str] | None = None,
        each: Callable[[str], None] = lambda _: None,
        keep: bool = False,
    ) -> Result:
        """Run to the end or to the time limit (seconds), without a network; the container never outlives the call.

        `gpus`: all, or indices and UUIDs with commas. `files`: put into the container before it starts, through the
        API. `folders`: of this machine -> where they are seen: mounted
        read-only by an engine on this machine, copied to another one. `each`: called with every line of
        stdout when it comes. `keep`: the container stays, stopped.
        """
        mounts, copies = (folders or {}, {}) if self.is_here else ({}, folders or {})
        settings: dict[str, Any] = {} if keep else {"labels": {RUN_LABEL: str(os.getpid())}}
        with self.started(
            keep=keep, image=image, command=command, user=user, environment=environment or {}, entrypoint=entrypoint,
            network_mode="none", mem_limit=memory, memswap_limit=memory, shm_size=shm, device_requests=devices(gpus),
            pids_limit=4096, log_config={"Type": "none"}, **settings,
            mounts=[docker.types.Mount(place, source, "bind", read_only=True) for source, place in mounts.items()],
        ) as made:  # fmt: skip
            if files:
                made.put_archive("/", archive(files))
            for source, place in copies.items():
                put(made, source, place)
            return to_the_end(made, timeout, each)

    def sweep(self) -> None:
        """Remove the containers of imagekits that were killed on this machine."""
        mine = [RUN_LABEL, f"{MACHINE_LABEL}={MACHINE}"]  # process ids mean nothing to other machines of this engine
        for container in self.client.containers.list(all=True, filters={"label": mine}):
            if not scratch.alive(container.labels[RUN_LABEL]):
                with contextlib.suppress(NotFound, APIError, Surroundings):
                    container.remove(force=True, v=True)

    @contextlib.contextmanager
    def started(self, *, keep: bool = False, **settings: Any) -> Iterator[Any]:
        self.sweep()
        made = []
        try:
            with scratch.uninterrupted():
                made.append(self._create(settings))
            yield made[0]
        finally:
            for container in made * (not keep):
                with contextlib.suppress(NotFound, APIError, Surroundings):
                    container.remove(force=True, v=True)

    def _create(self, settings: dict[str, Any]) -> Any:
        labels = {MACHINE_LABEL: MACHINE, **settings.pop("labels", {})}
        try:
            return self.client.containers.create(labels=labels, **settings)
        except ImageNotFound:
            raise Surroundings(
                f"the engine has no image {settings['image']}", hint="docker images lists them"
            ) from None
        except APIError as error:
            raise Surroundings(f"the engine cannot make a container: {error.explanation}") from None
