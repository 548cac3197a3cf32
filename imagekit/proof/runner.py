"""Proving an image from outside: start the smoke program that is in it, as a stranger would run the image.

No network, an arbitrary UID, little shared memory, a time limit: what a cluster gives. The program and its checks are
the image's own (`/opt/imagekit/smoke`), so that any image that imagekit ever built can be proven. An image of somebody
else gets them for the time of the proof.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from imagekit import record, resources
from imagekit.engines.result import Result
from imagekit.errors import UsageError
from imagekit.proof import evidence, outside
from imagekit.report import Check, Report, parse

UID = "12345:0"
"""Nobody's: OpenShift and Kubernetes run images as such."""

TIMEOUT, DEEP_TIMEOUT = 900, 3600
"""Seconds for all checks, and with the stage `deep` among them."""

MEMORY = "8g"

NOT_PROVEN = 5
"""Exit code of the program in the image when a check failed."""

INSIDE = "/tmp/imagekit"
"""Where the runner puts files into a container."""

FIND_PYTHON = """
for python in "$VIRTUAL_ENV/bin/python" python3 python /opt/conda/bin/python /opt/venv/bin/python; do
  "$python" -c 'import sys, importlib.util as u; sys.exit(not u.find_spec("torch"))' 2>/dev/null && exec "$python" "$@"
done
echo "no Python of this image has torch" >&2
exit 2
"""
"""For an image of somebody else: the first Python that has torch runs the program."""

Progress = Callable[[str], None]


class Machine(Protocol):
    """What the proof asks of that which holds an image: an engine, or a folder with its files."""

    @property
    def host(self) -> str: ...
    def image(self, reference: str) -> dict[str, Any] | None: ...
    def history(self, image: str) -> list[dict[str, Any]]: ...
    def layers(self, image: str) -> AbstractContextManager[list[Callable[[], tarfile.TarFile]]]: ...
    def has_gpu(self) -> bool: ...
    def run(
        self, image: str, command: list[str], *, timeout: float, user: str | None = None,
        environment: dict[str, str] | None = None, entrypoint: list[str] | None = None, memory: str | None = "8g",
        gpus: str = "", files: Mapping[str, bytes] | None = None, folders: Mapping[str, str] | None = None,
        each: Callable[[str], None] = ..., keep: bool = False,
    ) -> Result: ...  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What of an image is to be proven, and how."""

    gpus: str = "auto"
    """all | none | auto (all where the engine has any) | indices or UUIDs with commas"""
    require_gpu: bool = False
    stages: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    keep_going: bool = False
    fresh: bool = False
    """Nothing is taken over from an earlier proof."""
    foreign: bool = False
    """The image need not be one of ours."""
    keep: bool = False
    """The container stays, stopped."""
    timeout: float = 0
    """Seconds for all checks; 0 for what the stages usually take."""
    targets: Mapping[str, str] = field(default_factory=dict)
    """GPUs that the image must run on: name -> sm_90."""
    model: str = ""
    """A folder with weights of the user's own; without stages and checks only the check of it runs."""
    clip: str = ""
    scope: str = ""
    """Digest of what the image is made from besides its packages; empty: only this very image may take results over."""


def prove(engine: Machine, reference: str, wish: Wish, progress: Progress = lambda _: None) -> Report:
    """Run the checks and keep the report as evidence. Raises UsageError for an image that cannot be proven."""
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images lists them")
    labels = (image.get("Config") or {}).get("Labels") or {}
    ours = bool(labels.get("io.imagekit.profile"))
    if not ours and not wish.foreign:
        raise UsageError(
            f"{reference} was not built by imagekit: it has no label io.imagekit.profile",
            hint="--foreign proves what can be proven without a lock",
        )
    if wish.model and not wish.checks and not wish.stages:
        wish = replace(wish, checks=("own-model",))
    started, now = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    around = _around(engine, reference, image, wish, progress)
    found, problem, environment = list[Check](), "", dict[str, Any]()
    if not wish.checks or inside(wish):
        result = _run(engine, image, wish, ours, progress)
        found, problem, environment = read(result, wish)
    report = Report(
        image["Id"], (*around, *found), time.monotonic() - started, problem, reference=reference, time=now,
        profile=labels.get("io.imagekit.profile", ""), lock=labels.get("io.imagekit.lock", ""),
        host=engine.host, environment=environment, partial=bool(wish.checks or wish.stages) or not ours,
    )  # fmt: skip
    try:
        evidence.save(report)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home to keep it in
        return replace(report, note=f"the report could not be kept as evidence: {error}")
    return report


def _around(engine: Machine, reference: str, image: dict[str, Any], wish: Wish, progress: Progress) -> list[Check]:
    """The checks from outside, as far as they are asked for."""
    found = list[Check]()
    if not wish.stages or "static" in wish.stages:
        checks = outside.checks(reference, image, engine.history(image["Id"]))
        found += [check for check in checks if not wish.checks or check.name in wish.checks]
    if outside.LAYERS in wish.checks or ("deep" in wish.stages and not wish.checks):
        from imagekit.proof import layers  # it brings the checks from inside, which no other proof loads here

        progress("reading every layer")
        with engine.layers(image["Id"]) as opened:
            found += layers.checks(image, opened)
    return found


def inside(wish: Wish) -> tuple[str, ...]:
    """The checks that are asked for and run in the image."""
    return tuple(name for name in wish.checks if name not in (*outside.NAMES, outside.LAYERS))


def _run(engine: Machine, image: dict[str, Any], wish: Wish, ours: bool, progress: Progress) -> Result:
    config = image.get("Config") or {}
    options = [part for stage in wish.stages for part in ("--stage", stage)]
    options += [part for check in inside(wish) for part in ("--check", check)]
    folders = {}
    for flag, path in (("--model", wish.model), ("--clip", wish.clip)):
        if path:
            (source, place), there = _placed(Path(path), f"{INSIDE}-given/{flag[2:]}")
            folders[str(source)] = place
            options += [flag, there]
    flags = {"--require-gpu": wish.require_gpu, "--keep-going": wish.keep_going, "--fresh": wish.fresh}
    options += [flag for flag, is_set in flags.items() if is_set]
    environment = {
        "IMAGEKIT_IMAGE": image["Id"],
        "IMAGEKIT_SCOPE": wish.scope or _scope(image["Id"]),
        "IMAGEKIT_IMAGE_USER": config.get("User") or "",
        # an engine sets NVIDIA_VISIBLE_DEVICES itself for a GPU: only the image's own configuration tells
        "IMAGEKIT_IMAGE_ENV": json.dumps(config.get("Env") or []),
        "IMAGEKIT_IMAGE_LABELS": json.dumps(config.get("Labels") or {}),
        "IMAGEKIT_KNOWN": f"{INSIDE}/known.json",
        "IMAGEKIT_TARGETS": json.dumps(dict(wish.targets)),
        "IMAGEKIT_PREFLIGHT": "off",
    }
    files = {} if wish.fresh else {f"{INSIDE}/known.json": json.dumps(evidence.known()).encode()}
    command, entrypoint = ["/opt/venv/bin/python", "-B", "/opt/imagekit/smoke", *options], None
    if not ours:
        files |= _program()
        command = ["-c", FIND_PYTHON, "sh", "-B", f"{INSIDE}/smoke", "--here", *options]
        entrypoint = ["/bin/sh"]
    seen = list[str]()
    return engine.run(
        image["Id"], command, timeout=_timeout(wish), user=_user(wish), gpus=gpus_of(engine, wish.gpus),
        memory=None if wish.model else MEMORY, environment=environment, files=files, folders=folders,
        entrypoint=entrypoint, keep=wish.keep, each=lambda line: progress(_step(line, seen)),
    )  # fmt: skip


def _user(wish: Wish) -> str:
    """Weights are often their owner's alone (safetensors writes them so): they are read as who asks."""
    return f"{os.getuid()}:0" if wish.model else UID


def _placed(path: Path, place: str) -> tuple[tuple[Path, str], str]:
    """((what to bring in, where), where the thing itself is then). Raises UsageError for what is not there.

    A snapshot of the hub's cache is a folder of links to a folder beside it, so both have to come.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}", hint="--model is a folder with config.json, --clip a video")
    path = path.absolute()
    if path.parent.name == "snapshots":
        return (path.parent.parent, place), f"{place}/snapshots/{path.name}"
    return (path, place), place


def _scope(image: str) -> str:
    """As the build recorded it; an image without a record of this machine is known by its id alone."""
    return next((kept.scope for kept in record.of_image(image) if kept.scope), image)


def _program() -> dict[str, bytes]:
    top = resources.smoke()
    paths = [path for path in top.rglob("*.py") if "__pycache__" not in path.parts]
    return {f"{INSIDE}/smoke/{path.relative_to(top).as_posix()}": path.read_bytes() for path in paths}


def _timeout(wish: Wish) -> float:
    return wish.timeout or (DEEP_TIMEOUT if "deep" in wish.stages else TIMEOUT)


def gpus_of(engine: Machine, which: str) -> str:
    """What --gpus means on this engine: all, indices or UUIDs, or the empty string. Raises UsageError."""
    if not re.fullmatch(r"all|none|auto|(\d+|(GPU|MIG)-[\w-]+)(,(\d+|(GPU|MIG)-[\w-]+))*", which):
        raise UsageError(f"--gpus {which!r} names no GPUs", hint="all, none, auto, or indices or UUIDs: 0,1")
    if which == "auto":
        return "all" if engine.has_gpu() else ""
    return "" if which == "none" else which


def _step(line: str, seen: list[str]) -> str:
    """How far it is: `seen` holds the number that are planned, then the names that are done."""
    try:
        row = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(row, dict):
        return ""
    seen.append(str(row.get("planned") or row.get("check") or ""))
    return f"{len(seen) - 1} of {seen[0]} checks; {seen[-1]} {row.get('status', '')}" if len(seen) > 1 else "starting"


def read(result: Result, wish: Wish) -> tuple[list[Check], str, dict[str, Any]]:
    """What the program told: checks, why it did not come to its end, and where it ran."""
    checks, environment, strange, planned = list[Check](), dict[str, Any](), "", 0
    for line in result.stdout.splitlines():
        try:
            row = json.loads(line)
            if isinstance(row, dict) and "environment" in row:
                environment, planned = dict(row["environment"]), int(row["planned"])
            else:
                checks.append(parse(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            strange = strange or f"the program in the image printed {line[:100]!r}"
    tail = " / ".join(result.stderr.strip().splitlines()[-3:])[:500]
    last = checks[-1].name if checks else "none"
    problem = ""
    if result.timed_out:
        problem = f"not finished after {_timeout(wish):.0f} s; the last check that ended was {last}"
    elif result.exit_code not in (0, NOT_PROVEN):
        problem = f"the program in the image ended with {result.exit_code}: {tail or 'no word on stderr'}"
    elif strange:
        problem = strange
    elif not checks:
        problem = f"no check ran: {tail or 'no word on stderr'}"
    elif len(checks) != planned:
        problem = f"{len(checks)} of {planned} checks told how they ended; the last was {last}"
    elif result.exit_code == NOT_PROVEN and not any(check.bad for check in checks):
        problem = f"the program in the image says that a check failed, and none of its lines does: {tail}"
    return checks, problem, environment
