"""How long proving an image takes: all of it, the static stage, after one small package changed, and each check's share
of the runner."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

IMAGE = "pytorch:2.4.1-cuda12.1-video-llm"
SMALL = ("toolz==0.12.0", "toolz==1.0.0")
"""A small package of nobody's, before and after."""
TINY = "imagekit-bench:proof"

EMPTY = 50
"""Checks that do nothing, to measure what one costs."""


def proof() -> list[str]:
    """Against a container that only imports the stack: what anybody pays who looks at the image at all."""
    with tempfile.TemporaryDirectory() as folder:
        state = {**os.environ, "XDG_STATE_HOME": folder}
        run(["imagekit", "build", "video-llm", "--no-test"], state)
        before, after = (
            run(["imagekit", "build", "video-llm", "--no-test", "--with", version], state)[1].strip()
            for version in SMALL
        )
        run(imports(), state)
        start, _ = run(imports(), state)
        whole, report = run(["imagekit", "test", IMAGE, "--fresh", "--json"], state)
        static, _ = run(["imagekit", "test", IMAGE, "--fresh", "--json", "--stage", "static"], state)
        run(["imagekit", "test", before, "--json"], state)
        changed, partly = run(["imagekit", "test", after, "--json"], state)
        again, _ = run(["imagekit", "test", after, "--json"], state)
        each = per_check(Path(folder), state)
    checks = json.loads(report)["checks"]
    done = [check for check in checks if check["status"] != "SKIP"]
    taken = [check for check in json.loads(partly)["checks"] if check.get("proven")]
    peak = max(check.get("peak_mb", 0) for check in checks)
    rows = [
        "| video-llm, container start included | against a container that imports the stack | here |",
        "|---|---|---|",
    ]
    for name, took in (
        (f"static and cpu, {len(done)} checks", whole), ("static alone", static),
        (f"one small package changed, {len(taken)} results taken over", changed), ("nothing changed", again),
    ):  # fmt: skip
        rows.append(f"| {name} | {took / start:.1f}x | {took:.1f} s |")
    rows += ["", f"The container that imports torch, torchvision and transformers: {start:.1f} s."]
    rows.append(
        f"A check that does nothing: {each * 1000:.0f} ms. The most memory of one check: {peak} MB, two at once."
    )
    return rows


def imports() -> list[str]:
    code = "import torch, torchvision, transformers"
    return ["docker", "run", "--rm", "--network=none", "-e", "IMAGEKIT_PREFLIGHT=off", IMAGE, "python", "-c", code]


def run(call: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """(seconds, stdout)"""
    started = time.perf_counter()
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def per_check(folder: Path, environment: dict[str, str]) -> float:
    """Seconds for a check that does nothing, in an image with torch: the difference that many of them make."""
    place = "/opt/imagekit/checks/bench"
    (folder / "empty.py").write_text("".join(f"def check_{number}(): pass\n" for number in range(EMPTY)))
    (folder / "Dockerfile").write_text(
        f"FROM {IMAGE}\nUSER root\nCOPY --chmod=644 empty.py {place}/empty.py\nUSER 1000:0\n"
    )
    build = ["docker", "buildx", "build", "-q", "--load", "-t", TINY, str(folder)]
    subprocess.run(build, env=environment, check=True, capture_output=True)
    one = ["imagekit", "test", TINY, "--fresh", "--json", "--check"]
    few, _ = run([*one, "bench/0"], environment)
    every = [part for number in range(EMPTY) for part in ("--check", f"bench/{number}")]
    many, _ = run(["imagekit", "test", TINY, "--fresh", "--json", *every], environment)
    subprocess.run(["docker", "rmi", TINY], check=True, capture_output=True)
    return (many - few) / (EMPTY - 1)
