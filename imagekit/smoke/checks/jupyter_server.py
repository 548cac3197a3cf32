"""A notebook server that does not come up for a user without a passwd entry or without the internet, found when
somebody wants to work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from ..check import Check, Failure, Figures, Image, progress, shorten

PATIENCE = 20
"""Seconds until the server answers."""

READY = re.compile(r"(http://127\.0\.0\.1:\d+)/lab")


def run(image: Image) -> Figures:
    jupyter = str(Path(sys.executable).with_name("jupyter"))
    version = subprocess.run([jupyter, "lab", "--version"], capture_output=True, text=True, check=False)
    if version.returncode:
        _fail(f"jupyter lab --version: {shorten(version.stderr)}")
    progress("starting jupyter lab")
    command = [jupyter, "lab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=proof"]
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(Path("runtime").resolve())}
    if os.getuid() == 0:
        command.append("--allow-root")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as server:
        try:
            said: list[str] = []
            assert server.stderr is not None
            for line in server.stderr:
                said.append(line)
                found = READY.search(line)
                if found:
                    break
            else:
                _fail(f"jupyter lab ended: {shorten(' '.join(said[-5:]))}")
            code = _status(f"{found[1]}/api/status?token=proof")  # type: ignore[index]
        finally:
            server.send_signal(signal.SIGKILL)
    if code != 200:
        _fail(f"the server answers {code}")
    return {"jupyterlab": version.stdout.strip()}


def _status(url: str) -> int:
    """The server's answer. It tells its address first and opens the port afterwards."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > patience:
                raise
            time.sleep(0.1)


def _fail(found: str) -> None:
    raise Failure(
        found=found,
        expected="jupyter lab answers on localhost",
        because="the feature dev installs jupyterlab; it, or what it needs, was changed",
        fix="do not move its dependencies in a derived image",
    )


CHECK = Check(
    "jupyter",
    "cpu",
    run,
    covers=("jupyterlab", "jupyter-server", "tornado", "pyzmq"),
    applies=lambda image: "dev" in image.features,
    limit=120,
)
