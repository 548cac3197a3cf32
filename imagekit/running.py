"""The `docker run` of an image of imagekit: what PyTorch needs of a container and docker does not give by itself.

`prepared` looks at the engine and at this machine, `command` is pure: what it gives is printed or executed as it is.
"""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit.engines import limits
from imagekit.errors import Surroundings, UsageError
from imagekit.target import Target

DEV = {8888: "jupyter", 6006: "tensorboard"}
"""Ports of the feature `dev`."""

SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")
"""bash where the image has it."""

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """What the user said."""

    gpus: str = "auto"
    """auto (all where the engine has any) | all | none"""
    cache: str | None = None
    """A folder, "none", or None for the named volume."""
    mount: bool = True
    """The current folder at /workspace."""
    ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str | None = None
    hub: str = ""
    """The site's mirror of the model hub."""


@dataclass(frozen=True)
class Container:
    """Everything that `docker run` is told."""

    image: str
    command: tuple[str, ...] = ()
    gpus: bool = False
    shm: int = 1 << 30
    """Bytes of /dev/shm."""
    memlock: bool = True
    """Pinned memory without a limit."""
    user: str = "1000:0"
    cache: str = ""
    """Name of a volume, or an absolute folder; empty for none."""
    folder: str = ""
    """Mounted at /workspace; empty for none."""
    ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: str = ""
    """-it, -i, or nothing."""


def command(container: Container) -> list[str]:
    """The words of the command line. `--ipc` stays the engine's default: a shared one would share /dev/shm."""
    c = container
    call = ["docker", "run", "--rm", *([c.terminal] if c.terminal else [])]
    call += ["--gpus", "all"] if c.gpus else []
    # loader workers and NCCL hand tensors over in shared memory, docker gives 64 MB; RDMA pins pages; deep C++ stacks
    call += ["--shm-size", _size(c.shm), *(["--ulimit", "memlock=-1"] if c.memlock else [])]
    call += ["--ulimit", "stack=67108864", "-u", c.user]
    call += _volume(c.cache, "/cache") if c.cache else []
    call += _volume(c.folder, "/workspace") if c.folder else []
    call += [word for port in c.ports for word in ("-p", port)]
    call += [word for entry in c.env for word in ("-e", entry)]
    return [*call, c.image, *c.command]


def prepared(target: Target, words: tuple[str, ...], options: Options, engine: Any, say: Say) -> Container:
    """`engine`: an engines.docker_api.Engine, or None where only the command is wanted and there is no engine.

    Raises UsageError for options that cannot be, and for a profile that was not built.
    """
    say("run", target.taken_as)
    info: Mapping[str, Any] = engine.client.info() if engine else {}
    image = engine.image(target.reference) if engine else None
    if engine and image is None:
        _missing(target, say)
    user, cache, folder = _user(options, info), _cache(options), str(Path.cwd()) if options.mount else ""
    gpus = options.gpus == "all" or (options.gpus == "auto" and engine is not None and engine.has_gpu())
    shm = shared_memory(int(info.get("MemTotal") or _memory()))
    local = info.get("Name", socket.gethostname()) == socket.gethostname()  # a socket may lead out of a container
    say("", f"GPUs {'all' if gpus else 'none'}; /dev/shm {_size(shm)}, half of the memory; user {user}")
    say("", f"/cache is {_cache_words(options, user)}; /workspace is {folder or 'the one of the image'}")
    if folder and not local:
        say("", f"the engine is at {engine.endpoint}: folders are that machine's, not this one's")
    memlock = image is None or limits.can_lock_memory(engine, image["Id"])
    if not memlock:
        say("", "no --ulimit memlock=-1: this engine may not raise the limit, which RDMA asks for")
    env = (*_hub(options, image, say), *options.env)
    dev = _dev_ports(image, options.ports, say) if local else ()
    return Container(
        target.reference, words, gpus=gpus, shm=shm, memlock=memlock, user=user, folder=folder,
        ports=(*options.ports, *dev), cache=cache if cache is not None else f"imagekit-cache-{user.partition(':')[0]}",
        env=env, terminal=terminal(),
    )  # fmt: skip


def _hub(options: Options, image: Mapping[str, Any] | None, say: Say) -> tuple[str, ...]:
    """HF_ENDPOINT (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables) for the site's
    mirror, unless the caller or the image sets it."""
    own = ((image or {}).get("Config") or {}).get("Env") or []
    if not options.hub or any(entry.partition("=")[0] == "HF_ENDPOINT" for entry in (*options.env, *own)):
        return ()
    say("", "weights come from the site's mirror of the hub (HF_ENDPOINT)")
    return (f"HF_ENDPOINT={options.hub}",)


def shared_memory(memory: int) -> int:
    """Half of the memory, in whole GiB where there is one: tmpfs's own default, a limit and no reservation."""
    half = memory // 2
    return half >> 30 << 30 or half >> 20 << 20


def terminal() -> str:
    """-it on a terminal; -i where something is piped in; nothing for the rest, so that no input is waited for."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        return "-it" if sys.stdout.isatty() else ""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return ""
    return "-i" if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""


def execute(call: list[str], container: Container) -> None:
    """Become `docker`: its exit code is ours, and Ctrl-C goes to it. Returns never."""
    if container.cache.startswith("/"):
        try:
            Path(container.cache).mkdir(parents=True, exist_ok=True)  # docker would make it root's
        except OSError as error:
            raise UsageError(f"--cache: {container.cache} cannot be made: {error.strerror}") from None
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(call[0], call)
    except FileNotFoundError:
        raise Surroundings(
            "the docker command is missing", hint="install docker-cli; imagekit run --print shows what it would run"
        ) from None


def _missing(target: Target, say: Say) -> None:
    if target.profile:
        raise UsageError(
            f"the engine has no image {target.reference}", hint=f"imagekit build {target.profile} makes it"
        )
    if target.reference.startswith("sha256:"):
        raise UsageError(f"the engine has no image {target.reference}", hint="docker images lists them")
    say("", "not in the engine: docker will try to pull it")


def _user(options: Options, info: Mapping[str, Any]) -> str:
    if options.user is not None:
        if not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", options.user):
            raise UsageError(f"--user: {options.user!r} is not a user", hint="write UID or UID:GID")
        return options.user if ":" in options.user else f"{options.user}:0"
    if any("rootless" in str(entry) for entry in info.get("SecurityOptions") or ()):
        return "0:0"  # the caller's own id, in there
    return f"{os.getuid()}:0"


def _cache(options: Options) -> str | None:
    """None for the named volume."""
    if options.cache is None:
        return None
    return "" if options.cache == "none" else str(Path(options.cache).expanduser().absolute())


def _cache_words(options: Options, user: str) -> str:
    if options.cache is None:
        return f"the volume imagekit-cache-{user.partition(':')[0]}"
    return "gone with the container" if options.cache == "none" else str(_cache(options))


def _dev_ports(image: Mapping[str, Any] | None, given: tuple[str, ...], say: Say) -> tuple[str, ...]:
    """The ports of the feature `dev`, for this machine only, where they are free and the user named none for them."""
    labels = ((image or {}).get("Config") or {}).get("Labels") or {}
    if "dev" not in labels.get("io.imagekit.features", "").split():
        return ()
    theirs = {port.split("/")[0].rpartition(":")[2] for port in given}
    found = []
    for port, what in DEV.items():
        if str(port) in theirs:
            continue
        if _free(port):
            found.append(f"127.0.0.1:{port}:{port}")
        else:
            say("", f"port {port} ({what}) is taken on this machine; -p {port + 1}:{port} takes another")
    if found:
        say("", f"ports of the feature dev, for this machine only: {', '.join(found)}")
    return tuple(found)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _volume(source: str, place: str) -> list[str]:
    if ":" not in source:
        return ["-v", f"{source}:{place}"]
    row = io.StringIO()  # -v splits at colons; --mount is a line of CSV
    csv.writer(row, lineterminator="").writerow(["type=bind", f"source={source}", f"target={place}"])
    return ["--mount", row.getvalue()]


def _size(count: int) -> str:
    return f"{count >> 30}g" if count >= 1 << 30 else f"{count >> 20}m"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
