"""Measuring an image: the programs go into a container of it, their figures come out line by line."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imagekit.bench import measured
from imagekit.bench.measured import Bench, Measured
from imagekit.engines.docker_api import Engine
from imagekit.engines.result import Result
from imagekit.errors import UsageError
from imagekit.proof.runner import FIND_PYTHON, INSIDE, UID, gpus_of

TIMEOUT = 3600
"""Seconds for all benchmarks."""

SHM = "2g"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    only: tuple[str, ...] = ()
    quick: bool = False
    device: str = "all"
    """cpu | cuda | all"""
    gpus: str = "auto"
    timeout: float = TIMEOUT


def measure(engine: Engine, reference: str, wish: Wish, progress: Progress = lambda _: None) -> Measured:
    """Run the benchmarks in any image that has Python and torch. Raises UsageError for one that is not there."""
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images lists them")
    labels = (image.get("Config") or {}).get("Labels") or {}
    started, now = time.monotonic(), datetime.now(timezone.utc).isoformat(timespec="seconds")
    result = _run(engine, image["Id"], wish, progress)
    environment, benches, problem = read(result, wish.timeout)
    return Measured(
        image["Id"], reference, now, engine.host, round(time.monotonic() - started, 1), environment, tuple(benches),
        problem, labels.get("io.imagekit.lock", ""), labels.get("io.imagekit.profile", ""), _digest(), wish.only,
    )  # fmt: skip


def _run(engine: Engine, image: str, wish: Wish, progress: Progress) -> Result:
    options = [part for name in wish.only for part in ("--only", name)]
    options += [*(["--quick"] if wish.quick else []), "--device", wish.device]
    seen = list[str]()

    def each(line: str) -> None:
        seen.append(line)
        progress(f"{len(seen) - 1} benchmarks done; {_name(line)}")

    return engine.run(
        image, ["-c", FIND_PYTHON, "sh", "-B", f"{INSIDE}/bench", *options], entrypoint=["/bin/sh"], user=UID,
        timeout=wish.timeout, memory=None, shm=SHM, gpus=gpus_of(engine, wish.gpus), files=_files(), each=each,
        environment={"IMAGEKIT_PREFLIGHT": "off"},
    )  # fmt: skip


def _name(line: str) -> str:
    try:
        return str(json.loads(line).get("bench") or "starting")
    except (ValueError, AttributeError):
        return ""


def _top() -> Path:
    return Path(__file__).parent / "inside"


def _files() -> dict[str, bytes]:
    paths = [path for path in _top().rglob("*.py") if "__pycache__" not in path.parts]
    return {f"{INSIDE}/bench/{path.relative_to(_top()).as_posix()}": path.read_bytes() for path in sorted(paths)}


def _digest() -> str:
    return hashlib.sha256(b"".join(path.encode() + content for path, content in _files().items())).hexdigest()


def read(result: Result, timeout: float) -> tuple[dict[str, Any], list[Bench], str]:
    """Where it ran, what was measured, and why it did not come to its end."""
    environment, benches, strange = dict[str, Any](), list[Bench](), ""
    for line in result.stdout.splitlines():
        try:
            row = json.loads(line)
            if "environment" in row:
                environment = dict(row["environment"])
            else:
                benches.append(measured.parse(line))
        except (ValueError, KeyError, TypeError):
            strange = strange or f"the program in the image printed {line[:100]!r}"
    tail = " / ".join(result.stderr.strip().splitlines()[-3:])[:500] or "no word on stderr"
    problem = strange
    if result.timed_out:
        problem = f"not finished after {timeout:.0f} s; {len(benches)} benchmarks were"
    elif result.exit_code == 2:
        raise UsageError("the benchmarks did not start", details=[tail])
    elif result.exit_code not in (0, 5):
        problem = f"the program in the image ended with {result.exit_code}: {tail}"
    elif not benches:
        problem = f"nothing was measured: {tail}"
    return environment, benches, problem
