"""What a build tells, as steps: BuildKit's --progress=plain, and what the classic builder says in the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.diagnose import answer
from imagekit.engines import endpoint
from imagekit.errors import BuildFailed, Surroundings
from imagekit.site import scrub

TAIL = 15
"""Lines of the failing step that are shown; all are in the log."""


@dataclass
class Step:
    name: str
    cached: bool = False
    done: bool = False
    error: str = ""
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Built:
    steps: int
    cached: int


_LINE = re.compile(r"^#(\d+) (.*)$")


def read(line: str, steps: dict[str, Step], progress: Callable[[str], None]) -> None:
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


NETWORK = (
    "the network: builds reach the package index and Debian's mirror from inside a container; check proxies and DNS"
)

HINTS = (
    (r"certificate verify failed|UnknownIssuer|invalid peer certificate|SSLCertVerification|self[- ]signed",
     "the build does not trust the index's certificate: name the CA bundle (tls.ca of the site, or SSL_CERT_FILE)"),
    (r"No space left on device|ENOSPC|no space left", "no space left: docker system df, docker builder prune"),
    (r"401 (Client Error|Unauthorized)|\(401\)|authentication credentials",
     'the index asks for a login, or refuses the one it got: [indexes.pypi] auth = "env:NAME", "netrc" or "keyring"'),
    (r"403 (Client Error|Forbidden)|\(403\)",
     "the index, a mirror or a proxy forbids this (403): may the account of [indexes.pypi] read it?"),
    (r"Hash mismatch|THESE PACKAGES DO NOT MATCH THE HASHES|HashMismatch",
     "the index serves other bytes than when it was locked; if that is intended: imagekit lock --upgrade-package NAME"),
    (r"Temporary failure in name resolution|Name or service not known|dns error", NETWORK),
    (r"No matching distribution|No solution found|has no wheels|no wheels with a matching|not found in the package",
     "a locked wheel is no longer on the index: imagekit lock --upgrade-package NAME"),
    (r"Temporary failure resolving|Could not resolve|Failed to fetch|Connection (refused|reset|timed out)|dns error|"
     r"Network is unreachable|error sending request|Could not connect|timed out",
     NETWORK),
    (r"Unable to locate package|has no installation candidate",
     "a distribution package of `apt:` does not exist in this base; check its name for the suite"),
    (r"pull access denied|repository does not exist|failed to resolve source metadata|manifest unknown",
     "the base image is not here and cannot be pulled: imagekit base bootstrap, or --base distro:bookworm"),
)  # fmt: skip


NO_BUILDER = "[internal] waiting for connection"
"""The step of buildx that fails where nobody answers."""

BROKEN_OFF = (
    r"error reading from server: EOF|transport is closing|connection lost|code = Unavailable"
    r"|closing \[grpc\]|failed to receive status: rpc error"
)
"""How BuildKit's client says that nobody is there any more."""


def failure(steps: dict[str, Step], log: Path) -> BuildFailed | Surroundings:
    failed = next((step for step in steps.values() if step.error), None)
    lines = failed.lines[-TAIL:] if failed else log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
    text = "\n".join([*(failed.lines if failed else lines), failed.error if failed else ""])
    hint = next((hint for pattern, hint in HINTS if re.search(pattern, text, re.IGNORECASE)), "the whole log is beside")
    what = f"the build failed at {failed.name[:110]}" if failed else "the build failed before its first step"
    step = re.search(r"imagekit: (overlay (\S+), step \d+) failed", text)
    if step:
        what = f"the build failed at {step[1]} (steps of {step[2]}.yaml)"
        hint = "steps are lines of a shell with -eu, run as root after the wheels; try one in: docker run -u 0 IMAGE"
    known = answer.known([text])
    details = [*(scrub(line)[:300] for line in lines), *([f"known: {known}"] if known else []), f"log: {log}"]
    # a step may print the like of it: only what its client says counts
    client = failed.error if failed else "\n".join(line for line in lines if not re.match(r"#\d+ ", line))
    if re.search(BROKEN_OFF, client):
        return Surroundings(endpoint.GONE, details=details, hint=endpoint.BACK)
    if failed and failed.name == NO_BUILDER:
        hint = "docker buildx inspect --bootstrap NAME asks it"
        return Surroundings("the builder does not answer", details=[failed.error[:300], f"log: {log}"], hint=hint)
    if not failed and re.search(r"Cannot connect to the Docker daemon|permission denied", text):
        return Surroundings("the docker command does not reach the engine", details=details)
    return BuildFailed(what, details=details, hint=hint)
