"""Building with the classic builder through the Engine API: the last resort, where BuildKit cannot be reached.

It has no mounts and no secrets, so its contexts hold every Python file (the dialect `classic`). What it tells is said
in BuildKit's words, so that progress, log and failures are those of every other build.
"""

from __future__ import annotations

import contextlib
import re
import stat
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException, NotFound

from imagekit.engines import steps as told
from imagekit.engines.docker_api import Engine
from imagekit.engines.steps import Built, Step
from imagekit.errors import BuildFailed, Surroundings
from imagekit.site import scrub

PIECE = 1 << 20
"""Bytes of the context in memory at a time."""

GRACE = 10
"""Seconds that the container of a stopped build gets to be gone."""


def build(
    context: Path,
    engine: Engine,
    *,
    tag: str,
    log: Path,
    arguments: dict[str, str] | None = None,
    network: str = "default",
    proxies: Mapping[str, str] = {},
    hide: tuple[str, ...] = (),
    no_cache: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build a context into the image `tag`, which has this name from the moment it exists.

    `proxies` are predefined build arguments: in every step, and in no history or image. `hide` are hosts that the log
    does not name.

    Raises BuildFailed with the failing step's last lines and a hint. Ctrl-C stops the build, removes its container and
    is raised again.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Step] = {}
    words = Words()
    api = engine.api(timeout=None)
    try:
        with log.open("w", encoding="utf-8", buffering=1) as file:

            def tell(line: str) -> None:
                file.write(scrub(line, hide) + "\n")
                told.read(scrub(line, hide), steps, progress)

            stream = api.build(
                fileobj=_Tar(context), custom_context=True, tag=tag, rm=True, forcerm=True, decode=True, timeout=None,
                buildargs={**(arguments or {}), **proxies}, nocache=no_cache,
                network_mode=None if network == "default" else network,
            )  # fmt: skip
            for message in stream:
                for line in words.of(message):
                    tell(line)
            for line in words.rest():
                tell(line)
    except APIError as error:  # before the first step: a Dockerfile that it cannot read
        log.write_text(f"{scrub(str(error.explanation), hide)}\n", encoding="utf-8")
        raise told.failure(steps, log) from None
    except (requests.RequestException, DockerException, OSError) as error:
        raise Surroundings(
            f"the engine broke off the build ({type(error).__name__})", details=[f"log: {log}"],
            hint="is it still running? its own log tells why",
        ) from None  # fmt: skip
    except BaseException:
        _remove(engine, words.container)
        raise
    finally:
        api.close()
    if words.failed:
        raise told.failure(steps, log)
    if not words.image:
        raise BuildFailed("the build ended without an image", details=[f"log: {log}"])
    return Built(len(steps), sum(step.cached for step in steps.values()))


def _remove(engine: Engine, container: str) -> None:
    """The engine stops a build without a connection in its own time; its container goes at once, and is waited for."""
    until = time.monotonic() + GRACE
    with contextlib.suppress(NotFound, Surroundings):
        while container and time.monotonic() < until:
            with contextlib.suppress(APIError):  # 409: the engine is removing it already
                engine.client.api.remove_container(container, force=True, v=True)
            engine.client.api.inspect_container(container)
            time.sleep(0.05)


class _Tar:
    """A folder as a tar, in pieces: sorted, owned by root, so that the same folder gives the same bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[bytes]:
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            entry = tarfile.TarInfo(path.relative_to(self.folder).as_posix())
            entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if path.suffix == ".whl":
                entry.mtime = 0  # a link into the wheel store, which has a time of its own
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
            elif path.is_dir():
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = status.st_size
            yield entry.tobuf(tarfile.PAX_FORMAT)
            if entry.isreg():
                yield from _content(path, entry.size)
        yield bytes(2 * tarfile.BLOCKSIZE)


def _content(path: Path, size: int) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)


_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)$")
_STAGE = re.compile(r"^FROM \S+ AS (\S+)", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXIT = re.compile(r"returned a non-zero code: (\d+)")


class Words:
    """The classic builder's messages in the words of BuildKit's --progress=plain."""

    def __init__(self) -> None:
        self.image = ""
        """Id of the last image it made: in the end, the image."""
        self.failed = False
        self.container = ""
        """The container that runs now."""
        self._step = ""
        self._stage = ""
        self._half = ""
        self._since = 0.0

    def of(self, message: dict[str, Any]) -> Iterator[str]:
        if "stream" in message:
            *lines, self._half = (self._half + str(message["stream"])).replace("\r", "\n").split("\n")
            for line in lines:
                yield from self._line(_COLOUR.sub("", line))
        elif "aux" in message and isinstance(message["aux"], dict):
            self.image = str(message["aux"].get("ID") or self.image)
        elif "error" in message or "errorDetail" in message:
            yield from self.rest()
            detail = message.get("errorDetail") or {}
            yield from self._error(str(detail.get("message") or message.get("error")))

    def rest(self) -> Iterator[str]:
        half, self._half = self._half, ""
        if half:
            yield from self._line(_COLOUR.sub("", half))

    def _line(self, line: str) -> Iterator[str]:
        step = _STEP.match(line)
        if step:
            number, total, text = step.groups()
            if self._step:
                yield self._done()
            stage = _STAGE.match(text)
            self._stage = stage[1] if stage else self._stage
            self._step, self.container, self._since = number, "", time.monotonic()
            place = f"{self._stage} {number}/{total}".strip()
            yield f"#{number} [{place}] {' '.join(text.split())}"
        elif line.startswith(" ---> Running in "):
            self.container = line.rpartition(" ")[2]
        elif line == " ---> Using cache":
            yield f"#{self._step} CACHED"
        elif line.startswith((" ---> ", "Removing intermediate container ", "Removed intermediate container ")):
            self.container = "" if line.startswith("Rem") else self.container
        elif line.startswith("Successfully built "):
            yield self._done()
        elif line.strip():
            yield f"#{self._step} {line}" if self._step else line

    def _done(self) -> str:
        return f"#{self._step} DONE {time.monotonic() - self._since:.1f}s"

    def _error(self, text: str) -> Iterator[str]:
        self.failed = True
        code = _EXIT.search(text)
        short = f"exit code: {code[1]}" if code else " ".join(text.split())
        yield f"#{self._step} ERROR: {short}" if self._step else f"ERROR: {short}"
