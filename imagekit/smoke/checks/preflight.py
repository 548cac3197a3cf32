"""The first line of every log: slow, noisy on stdout or wrong in its exit status, it breaks the programs it
precedes."""

from __future__ import annotations

import os
import subprocess
import time

from ..check import Check, Failure, Figures, Image


def run(image: Image) -> Figures:
    start = str(image.root / "start")
    env = {name: value for name, value in os.environ.items() if name != "IMAGEKIT_PREFLIGHT"}
    began = time.monotonic()
    done = subprocess.run([start, "/bin/sh", "-c", "echo out; exit 3"], capture_output=True, text=True, env=env)
    milliseconds = round((time.monotonic() - began) * 1000)
    said = done.stderr.strip().splitlines()
    if done.returncode != 3 or done.stdout != "out\n":
        _fail(f"exit {done.returncode}, stdout {done.stdout!r}, stderr {done.stderr.strip()!r}", "exit 3, stdout 'out'")
    if len(said) != 1 or not said[0].startswith("imagekit: "):
        _fail(f"stderr {said}", "one line")
    missing = subprocess.run([start, "no-such-command"], capture_output=True, text=True, env=env)
    if missing.returncode != 127:
        _fail(f"exit {missing.returncode} for a command that is not there", "exit 127, as a shell says it")
    silent = subprocess.run(
        [start, "/bin/true"], capture_output=True, text=True, env={**env, "IMAGEKIT_PREFLIGHT": "off"}
    )
    if silent.returncode or silent.stderr:
        _fail(f"with IMAGEKIT_PREFLIGHT=off: exit {silent.returncode}, {silent.stderr.strip()!r}", "silence")
    return {"milliseconds": milliseconds, "says": said[0]}


def _fail(found: str, expected: str) -> None:
    raise Failure(found=found, expected=expected, fix="leave /opt/imagekit/start as the build made it")


CHECK = Check("preflight", "static", run, applies=lambda image: (image.root / "start").exists(), needs=("lock",))
