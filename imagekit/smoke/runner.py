"""Proving an image from outside: start the smoke program that is in it, as a stranger would run the image.

No network, an arbitrary UID, little shared memory, a time limit: what a cluster gives. The program and its checks are
the image's own (`/opt/imagekit/smoke`), so that any image that imagekit ever built can be proven.
"""

from __future__ import annotations

import json
import time

from imagekit.engines.docker_api import Engine, Result
from imagekit.errors import UsageError
from imagekit.report import Check, Report, parse

UID = "12345:0"
"""Nobody's: OpenShift and Kubernetes run images as such."""

TIMEOUT = 900
"""Seconds for all checks."""


def prove(
    engine: Engine,
    reference: str,
    *,
    gpus: str = "auto",
    require_gpu: bool = False,
    stages: tuple[str, ...] = (),
    checks: tuple[str, ...] = (),
    keep_going: bool = False,
    timeout: float = TIMEOUT,
) -> Report:
    """`gpus`: all | none | auto (all where the engine has any)."""
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images lists them")
    config = image["Config"]
    labels = config.get("Labels") or {}
    if "io.imagekit.profile" not in labels:
        raise UsageError(f"{reference} was not built by imagekit: it has no label io.imagekit.profile")
    devices = gpus == "all" or (gpus == "auto" and engine.has_gpu())
    command = ["/opt/venv/bin/python", "-B", "/opt/imagekit/smoke"]
    command += [part for stage in stages for part in ("--stage", stage)]
    command += [part for check in checks for part in ("--check", check)]
    command += ["--require-gpu"] if require_gpu else []
    command += ["--keep-going"] if keep_going else []
    started = time.monotonic()
    result = engine.run(
        image["Id"], command, timeout=timeout, user=UID, gpus=devices,
        environment={
            "IMAGEKIT_IMAGE_USER": config.get("User") or "",
            # an engine sets NVIDIA_VISIBLE_DEVICES itself for a GPU: only the image's own configuration tells
            "IMAGEKIT_IMAGE_ENV": json.dumps(config.get("Env") or []),
            "IMAGEKIT_PREFLIGHT": "off",
        },
    )  # fmt: skip
    return _report(image["Id"], result, time.monotonic() - started, timeout)


def _report(image: str, result: Result, seconds: float, timeout: float) -> Report:
    checks: list[Check] = []
    strange = ""
    for line in result.stdout.splitlines():
        try:
            checks.append(parse(line))
        except (ValueError, KeyError, TypeError):
            strange = strange or f"the program in the image printed {line[:100]!r}"
    problem = ""
    tail = " / ".join(result.stderr.strip().splitlines()[-3:])[:500]
    if result.timed_out:
        problem = (
            f"not finished after {timeout:.0f} s; the last check that ended was {checks[-1].name if checks else 'none'}"
        )
    elif result.exit_code not in (0, 5):
        problem = f"the program in the image ended with {result.exit_code}: {tail or 'no word on stderr'}"
    elif strange:
        problem = strange
    elif not checks:
        problem = f"no check ran: {tail or 'no word on stderr'}"
    return Report(image, tuple(checks), seconds, problem)
