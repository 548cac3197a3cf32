"""Building with BuildKit through the `docker` command: buildx where it is, DOCKER_BUILDKIT=1 where it is not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from imagekit import scratch
from imagekit.engines import steps as told
from imagekit.engines.steps import Built, Step
from imagekit.errors import Surroundings
from imagekit.site import scrub

GRACE = 10
"""Seconds that a stopped build gets to end before it is killed."""


def has_buildx() -> bool:
    done = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return done.returncode == 0


def command() -> list[str]:
    if shutil.which("docker") is None:
        raise Surroundings(
            "the docker command is missing", hint="install docker-cli (and docker-buildx), which build with BuildKit"
        )
    return ["docker", "buildx", "build"] if has_buildx() else ["docker", "build"]


def build(
    context: Path,
    *,
    log: Path,
    secrets: dict[str, Path],
    arguments: dict[str, str] | None = None,
    stages: dict[str, Path] | None = None,
    images: Mapping[str, str] = {},
    builder: str = "",
    tag: str = "",
    target: str = "",
    output: str = "",
    no_cache: bool = False,
    network: str = "default",
    proxies: Mapping[str, str] = {},
    hide: tuple[str, ...] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build a context into the image `tag`, which has this name from the moment it exists.

    `proxies` are predefined build arguments: in every step, and in no history, image or cache key. `hide` are hosts
    that the log does not name. With buildx only: `stages` gives a folder in place of a stage; `output` exports a target
    instead of making an image; `builder` is one of buildx, for which `images` gives an address in place of an image.

    Raises BuildFailed with the failing step's last lines and a hint. Ctrl-C stops the build and is raised again.
    """
    call = [*command(), "--progress=plain"]
    if call[1] == "buildx":
        # attestations would make an index, which the classic image store cannot hold
        call += ["--provenance=false", "--sbom=false"]
    call += [f"--builder={builder}"] if builder else []
    call += [f"--output={output}"] if output else [f"--tag={tag}"]
    call += ["--load"] if call[1] == "buildx" and not output else []
    call += [f"--target={target}"] if target else []
    call += ["--no-cache"] if no_cache else []
    call += [f"--network={network}"] if network != "default" else []
    # one with a password is never on a command line: docker takes it from its environment
    kept = {key: value for key, value in proxies.items() if "@" in value}
    call += [f"--build-arg={key}" if key in kept else f"--build-arg={key}={value}" for key, value in proxies.items()]
    call += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
    call += [f"--build-context={stage}={path}" for stage, path in (stages or {}).items()]
    call += [f"--build-context={reference}={address}" for reference, address in images.items()]
    call += [f"--secret=id={key},src={path}" for key, path in secrets.items()]
    steps: dict[str, Step] = {}
    code = _run([*call, str(context)], log, lambda line: told.read(line, steps, progress), kept, hide)
    if code:
        raise told.failure(steps, log)
    runs = [step for step in steps.values() if not step.name.startswith("[internal]")]
    return Built(len(runs), sum(step.cached for step in runs))


def _run(
    call: list[str], log: Path, on_line: Callable[[str], None], environment: Mapping[str, str], hide: tuple[str, ...]
) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    # its own session: Ctrl-C in the terminal reaches imagekit alone, which then stops the build in order
    process = subprocess.Popen(
        call,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=scratch.die_with_parent,
        text=True,
        errors="replace",
        env={**os.environ, **environment, "DOCKER_BUILDKIT": "1", "NO_COLOR": "1"},
    )
    assert process.stderr is not None
    try:
        with log.open("w", encoding="utf-8", buffering=1) as file:
            for raw in process.stderr:
                line = scrub(raw, hide)
                file.write(line)
                on_line(line.rstrip("\n"))
        return process.wait()
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    drain = threading.Thread(target=lambda: process.stderr and process.stderr.read(), daemon=True)
    drain.start()  # a full pipe would keep the build from ending
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
