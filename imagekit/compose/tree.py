"""A composed image as a folder, and as something that can be proven: what an engine does with it, without one."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isal import igzip, isal_zlib

from imagekit import namespaces, resources, scratch
from imagekit.compose import room
from imagekit.engines.result import STDERR, STDOUT, Result
from imagekit.errors import Surroundings, UsageError
from imagekit.oci.archive import PIECE
from imagekit.oci.image import Image, Stacked


@contextlib.contextmanager
def unpacked(image: Image, *, verify: bool = False) -> Iterator[Tree]:
    """The files of an image in a folder of this machine, for as long as this lasts."""
    with root_of(image.layers, verify=verify) as root:
        yield Tree(image, root, root.parent)


@contextlib.contextmanager
def root_of(layers: Sequence[Stacked], *, verify: bool = False) -> Iterator[Path]:
    """The files of layers, the lowest first, in a folder, for as long as this lasts.

    `verify`: each is compared with its diff_id; for those that were made elsewhere.
    """
    for old in scratch.left("tree"):
        _remove(old)
    with scratch.folder("tree") as place:
        root = place / "root"
        root.mkdir()
        root.chmod(0o755)  # whatever the umask
        try:
            for one in layers:
                extract(one, root, keep_owners=True, verify=verify)
            yield root
        finally:
            _remove(root)


def extract(one: Stacked, root: Path, *, keep_owners: bool, verify: bool = False) -> None:
    """A layer into a folder, by `unpack`, in a room of its own. Raises Surroundings, UsageError for a damaged layer."""
    program = str(resources.compose() / "unpack.py")
    call = [*room.unshare(), sys.executable, "-I", "-S", program, str(root), "keep" if keep_owners else "own"]
    hashed, problem = hashlib.sha256(), ""
    with (
        subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_ENVIRONMENT,
            preexec_fn=scratch.killed_with_parent,
        ) as process,
        igzip.open(one.path, "rb") as stream,  # type: ignore[no-untyped-call]
    ):  # fmt: skip
        assert process.stdin and process.stderr
        try:
            while data := stream.read(PIECE):
                if verify:
                    hashed.update(data)
                process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why
        except (EOFError, OSError, isal_zlib.IsalError) as error:  # type: ignore[misc]  # its stub calls it no exception
            problem = f"it is no gzip that can be read: {error}"
            process.kill()
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
    if verify and not problem and not process.returncode and hashed.hexdigest() != one.layer.diff_id:
        problem = f"its tar is sha256:{hashed.hexdigest()[:12]}, and the image says {one.layer.diff_id[:12]}"
    if problem:
        raise UsageError(f"the layer {one.layer.digest[:12]} is damaged", details=[problem])
    if process.returncode:
        raise Surroundings(
            f"the layer {one.layer.digest[:12]} could not be unpacked", details=said, hint="is there room on the disk?"
        )


def _remove(root: Path) -> None:
    """What belongs to other users goes in a room too."""
    subprocess.run([*room.unshare(), "rm", "-rf", str(root)], capture_output=True, check=False, env=_ENVIRONMENT)
    shutil.rmtree(root, ignore_errors=True)


_ENVIRONMENT = {"PATH": namespaces.PATH, "LC_ALL": "C.UTF-8"}


class Tree:
    """An image in a folder, with what the proof asks of an engine (proof.runner)."""

    def __init__(self, image: Image, root: Path, place: Path) -> None:
        self._image, self._root, self._place = image, root, place

    @property
    def host(self) -> str:
        return os.uname().nodename

    def image(self, reference: str) -> dict[str, Any] | None:
        config = json.loads(self._image.config)
        return {"Id": self._image.id, "Config": config.get("config") or {}, "RootFS": config["rootfs"]}

    def history(self, image: str) -> list[dict[str, Any]]:
        return [{"CreatedBy": one.made_by} for one in self._image.layers]

    @contextlib.contextmanager
    def layers(self, image: str) -> Iterator[list[Callable[[], tarfile.TarFile]]]:
        yield [functools.partial(tarfile.open, one.path, "r:gz") for one in self._image.layers]

    def has_gpu(self) -> bool:
        return False

    def run(
        self, image: str, command: list[str], *, timeout: float, user: str | None = None,
        environment: dict[str, str] | None = None, entrypoint: list[str] | None = None, memory: str | None = None,
        gpus: str = "", files: Mapping[str, bytes] | None = None, folders: Mapping[str, str] | None = None,
        each: Callable[[str], None] = lambda _: None, keep: bool = False,
    ) -> Result:  # fmt: skip
        """As Engine.run. There is no limit of memory here, no GPU, and nothing that could be kept."""
        config = json.loads(self._image.config).get("config") or {}
        own = (str(entry).partition("=") for entry in config.get("Env") or [])
        variables = {name: text for name, _, text in own if name} | (environment or {})
        given = self._place / "given"
        for path, content in (files or {}).items():
            (given / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (given / path.lstrip("/")).write_bytes(content)
        for place in (given, *given.rglob("*")) if given.is_dir() else ():
            place.chmod(0o755 if place.is_dir() else 0o644)
        mounts = {str(given / top): f"/{top}" for top in sorted({_top(path) for path in files or {}})}
        start = (config.get("Entrypoint") or []) if entrypoint is None else entrypoint
        process = room.start(
            self._root, [*start, *command], variables, user=user or config.get("User") or "0:0",
            folders={**mounts, **(folders or {})}, workdir=config.get("WorkingDir") or "/",
        )  # fmt: skip
        return _to_the_end(process, timeout, each)


def _top(path: str) -> str:
    """Files are put where nothing of the image is: /tmp/imagekit/known.json comes with /tmp/imagekit."""
    return "/".join(path.strip("/").split("/")[:2])


def _to_the_end(process: subprocess.Popen[bytes], timeout: float, each: Callable[[str], None]) -> Result:
    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    assert process.stdin and process.stdout and process.stderr
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    err, out = bytearray(), bytearray()

    def listen() -> None:
        for line in process.stderr:  # type: ignore[union-attr]
            err.extend(line)
            del err[:-STDERR]

    alarm, listener = threading.Timer(timeout, stop), threading.Thread(target=listen, daemon=True)
    alarm.daemon = True
    alarm.start()
    listener.start()
    try:
        for line in process.stdout:
            out += line[: max(0, STDOUT - len(out))]
            each(line.decode(errors="replace").rstrip("\n"))
        code = process.wait()
    finally:
        alarm.cancel()
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        listener.join(5)
    return Result(
        code if code >= 0 else 128 - code, out.decode(errors="replace"), err.decode(errors="replace"), late.is_set()
    )
