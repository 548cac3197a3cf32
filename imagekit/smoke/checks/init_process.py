"""Without an init as pid 1 a stopped pod is killed after 30 s without saving its checkpoint, and dead workers pile
up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ..check import Check, Failure, Figures, Image

INITS = ("tini", "docker-init", "dumb-init", "catatonit", "pause", "init")

SERVICE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(43))
print("ready", flush=True)
signal.pause()
"""


def run(image: Image) -> Figures:
    first = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    if first not in INITS:
        _fail(f"pid 1 is {first}", "an init, such as tini")
    start, tini = image.root / "start", shutil.which("tini")
    init = [tini, "-s", "--"] if tini else []
    wrappers = [str(path) for path in image.facts.get("starts") or ()]
    chain = [*init, *([str(start)] if start.exists() else []), *wrappers, sys.executable, "-c", SERVICE]
    code = _end_by_sigterm(chain)
    if code != 43:
        _fail(f"after SIGTERM to {' '.join(chain[:4])} the process ended with {code}", "its handler ran (43)")
    return {"pid1": first, "chain": [Path(part).name for part in chain[:-2]]}


def _end_by_sigterm(command: list[str]) -> int:
    env = {**os.environ, "IMAGEKIT_PREFLIGHT": "off"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) not in (b"ready\n", b""):
            pass  # a wrapper may print; after this its handler is in place
        if not line:
            return process.wait()
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            return -1


def _fail(found: str, expected: str) -> None:
    raise Failure(
        found=found,
        expected=expected,
        because="the entry point was replaced, or something between it and Python keeps signals for itself",
        fix='keep ENTRYPOINT ["tini","--","/opt/imagekit/start"], and let wrappers end with exec',
    )


CHECK = Check("init", "static", run, needs=("lock",))
