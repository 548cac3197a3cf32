"""A container that runs to its end: what goes into it, what it prints, how long it may take."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError

from imagekit.engines.result import STDERR, STDOUT, Result
from imagekit.errors import Surroundings

LAST_WORD = 60
"""Seconds for the engine to tell how a container ended that prints no more."""


def devices(gpus: str) -> list[Any] | None:
    if not gpus:
        return None
    which = {"count": -1} if gpus == "all" else {"device_ids": gpus.split(",")}
    return [docker.types.DeviceRequest(capabilities=[["gpu"]], **which)]


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar of files by path, readable for everybody."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def put(container: Any, source: str, place: str) -> None:
    """Copy a file or folder of this machine into a container while it is read: it may be larger than any memory."""
    read, write = os.pipe()

    failed: list[Exception] = []

    def pack() -> None:
        try:
            stream()
        except Exception as error:  # told by whoever waits for it
            failed.append(error)

    def stream() -> None:
        with (
            contextlib.suppress(BrokenPipeError),
            os.fdopen(write, "wb") as pipe,
            tarfile.open(fileobj=pipe, mode="w|") as tar,
        ):
            tar.add(Path(source).resolve(), arcname=place.lstrip("/"))

    packer = threading.Thread(target=pack, daemon=True)
    packer.start()
    with os.fdopen(read, "rb") as archived:
        container.put_archive("/", archived)
    packer.join()
    if failed:
        raise Surroundings(f"{source} could not be copied into the container: {failed[0]}")


def to_the_end(container: Any, timeout: float, each: Callable[[str], None]) -> Result:
    """Start a container and listen to it. Its output goes into no log of the engine's, and here it is bounded."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(APIError, Surroundings):
            container.kill()

    alarm = threading.Timer(timeout, stop)
    alarm.daemon = True
    stream = container.attach(stdout=True, stderr=True, stream=True, logs=False, demux=True)
    try:
        container.start()
    except (APIError, requests.RequestException) as error:
        reason = getattr(error, "explanation", None) or error
        raise Surroundings(f"the engine cannot start a container: {reason}") from None
    alarm.start()
    out, line, err = bytearray(), b"", b""
    try:
        for printed, complained in stream:
            err = (err + (complained or b""))[-STDERR:]
            out += (printed or b"")[: max(0, STDOUT - len(out))]
            *whole, line = (line + (printed or b""))[-STDERR:].split(b"\n")
            for text in whole:
                each(text.decode(errors="replace"))
        code = int(container.wait(timeout=LAST_WORD)["StatusCode"])
    except (APIError, requests.RequestException, OSError, Surroundings) as error:
        if not late.is_set():
            raise Surroundings(f"the engine lost a container: {error}") from None
        code = 137
    finally:
        alarm.cancel()
    return Result(code, out.decode(errors="replace"), err.decode(errors="replace"), late.is_set())
