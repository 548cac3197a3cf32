"""A machine without a network: a network namespace of its own that has nothing but loopback, and a registry there.

python apart.py ARGUMENT...     imagekit with these arguments; {registry} in them is the registry's host:port
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rooms import Room

PROGRAM = Path(__file__)
UP = "ip link set lo up 2>/dev/null || busybox ip link set lo up"
NOBODY = "! timeout 5 bash -c '</dev/tcp/192.0.2.1/80' 2>/dev/null"
"""An address for documentation (RFC 5737): with no route at all the answer comes at once."""


def run(room: Room, *arguments: str) -> subprocess.CompletedProcess[str]:
    """imagekit there, as in a room. Root only."""
    script = f'{UP}; {NOBODY}; exec "$@"'
    call = ["unshare", "--net", "sh", "-ec", script, "sh", sys.executable, str(PROGRAM), *arguments]
    environment = {**room.environment, "PYTHONPATH": str(PROGRAM.parent)}
    return subprocess.run(
        call, cwd=room.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def _main() -> int:
    import registries

    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    assert not routes, routes
    with tempfile.TemporaryDirectory() as folder, registries.served(Path(folder) / "registry") as host:
        call = [argument.replace("{registry}", host) for argument in sys.argv[1:]]
        return subprocess.run([sys.executable, "-m", "imagekit", *call], check=False).returncode


if __name__ == "__main__":
    sys.exit(_main())
