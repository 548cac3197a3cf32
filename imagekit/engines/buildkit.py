"""Building with BuildKit through the `docker` command: buildx where it is, DOCKER_BUILDKIT=1 where it is not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imagekit import scratch
from imagekit.errors import BuildFailed, Surroundings
from imagekit.site import scrub

TAIL = 15
"""Lines of the failing step that are shown; all are in the log."""

GRACE = 10
"""Seconds that a stopped build gets to end before it is killed."""


@dataclass
class Step:
    name: str
    cached: bool = False
    done: bool = False
    error: str = ""
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Built:
    image: str
    """Image id, sha256:..."""
    steps: int
    cached: int


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
    iid: Path,
    log: Path,
    secrets: dict[str, Path],
    arguments: dict[str, str] | None = None,
    stages: dict[str, Path] | None = None,
    target: str = "",
    output: str = "",
    no_cache: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build a context into an image without a tag; its id is in the file `iid` from the moment it exists.

    With buildx only: `stages` gives a folder in place of a stage; `output` exports a target instead of making an image.

    Raises BuildFailed with the failing step's last lines and a hint. Ctrl-C stops the build and is raised again.
    """
    call = [*command(), "--progress=plain"]
    if call[1] == "buildx":
        # attestations would make an index, which the classic image store cannot hold
        call += ["--provenance=false", "--sbom=false"]
    call += [f"--output={output}"] if output else [f"--iidfile={iid}"]
    call += ["--load"] if call[1] == "buildx" and not output else []
    call += [f"--target={target}"] if target else []
    call += ["--no-cache"] if no_cache else []
    call += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
    call += [f"--build-context={stage}={path}" for stage, path in (stages or {}).items()]
    call += [f"--secret=id={key},src={path}" for key, path in secrets.items()]
    steps: dict[str, Step] = {}
    code = _run([*call, str(context)], log, lambda line: _read(line, steps, progress))
    if code:
        raise _failure(steps, log)
    image = "" if output else iid.read_text().strip()
    runs = [step for step in steps.values() if not step.name.startswith("[internal]")]
    return Built(image, len(runs), sum(step.cached for step in runs))


def _run(call: list[str], log: Path, on_line: Callable[[str], None]) -> int:
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
        env={**os.environ, "DOCKER_BUILDKIT": "1", "NO_COLOR": "1"},
    )
    assert process.stderr is not None
    try:
        with log.open("w", encoding="utf-8") as file:
            for line in process.stderr:
                file.write(scrub(line))
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


_LINE = re.compile(r"^#(\d+) (.*)$")


def _read(line: str, steps: dict[str, Step], progress: Callable[[str], None]) -> None:
    """One line of --progress=plain: `#7 [stage 2/3] RUN ...`, then `#7 0.5 text`, `#7 CACHED`, `#7 DONE 1.2s` or
    `#7 ERROR: ...`."""
    match = _LINE.match(line)
    if not match:
        return
    number, text = match.groups()
    step = steps.get(number)
    if step is None:
        steps[number] = Step(text)
        if text.startswith("[") and not text.startswith("[internal]"):
            progress(text)
    elif text == "CACHED":
        step.cached = step.done = True
    elif text.startswith("DONE "):
        step.done = True
    elif text.startswith("ERROR"):
        step.error = text
    elif not text.startswith(("sha256:", "...")):
        step.lines.append(re.sub(r"^\d+\.\d+ ", "", text))
        del step.lines[:-200]


HINTS = (
    (r"certificate verify failed|UnknownIssuer|invalid peer certificate|SSLCertVerification|self[- ]signed",
     "the build does not trust the index's certificate: name the CA bundle (tls.ca of the site, or SSL_CERT_FILE)"),
    (r"No space left on device|ENOSPC|no space left", "no space left: docker system df, docker builder prune"),
    (r"Hash mismatch|THESE PACKAGES DO NOT MATCH THE HASHES|HashMismatch",
     "the index serves other bytes than when it was locked; if that is intended: imagekit lock --upgrade-package NAME"),
    (r"No matching distribution|No solution found|has no wheels|no wheels with a matching|not found in the package",
     "a locked wheel is no longer on the index: imagekit lock --upgrade-package NAME"),
    (r"Temporary failure resolving|Could not resolve|Failed to fetch|Connection (refused|reset|timed out)|dns error|"
     r"Network is unreachable|error sending request|Could not connect|timed out",
     "the network: builds reach the package index and Debian's mirror from inside a container; check proxies and DNS"),
    (r"Unable to locate package|has no installation candidate",
     "a distribution package of `apt:` does not exist in this base; check its name for the suite"),
    (r"pull access denied|repository does not exist|failed to resolve source metadata|manifest unknown",
     "the base image is not here and cannot be pulled: imagekit base bootstrap, or --base distro:bookworm"),
)  # fmt: skip


def _failure(steps: dict[str, Step], log: Path) -> BuildFailed | Surroundings:
    failed = next((step for step in steps.values() if step.error), None)
    lines = failed.lines[-TAIL:] if failed else log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    text = "\n".join([*(failed.lines if failed else lines), failed.error if failed else ""])
    hint = next((hint for pattern, hint in HINTS if re.search(pattern, text, re.IGNORECASE)), "the whole log is beside")
    what = f"the build failed at {failed.name[:110]}" if failed else "the build failed before its first step"
    details = [*(scrub(line)[:300] for line in lines), f"log: {log}"]
    if not failed and re.search(r"Cannot connect to the Docker daemon|permission denied", text):
        return Surroundings("the docker command does not reach the engine", details=details)
    return BuildFailed(what, details=details, hint=hint)
