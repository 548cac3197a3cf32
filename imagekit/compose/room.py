"""A folder as the root of a process: what an image holds is run where there is no engine.

By namespaces of the kernel, with unshare(1): own mounts, processes, network, and, unless root asks, own users. What it
does not have is a limit of memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagekit import namespaces, scratch

_NAMESPACES = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]

_PREPARE = """
set -e
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777,size=1g shm "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2" 2>/dev/null || true
  shift 2
done
shift
exec chroot --userspec="$user" --groups= "$root" "$@"
"""
"""What is mounted is gone with the process: it has its own mounts."""


def start(
    root: Path, call: Sequence[str], environment: Mapping[str, str], *, user: str = "0:0",
    folders: Mapping[str, str] | None = None, workdir: str = "/",
) -> subprocess.Popen[bytes]:  # fmt: skip
    """A process in a root, with pipes, without a network. It and all that it starts end with imagekit.

    `user`: uid:gid inside; `folders`: of this machine -> where they are seen inside, read-only.
    Raises Surroundings where there are no namespaces.
    """
    _RUNNING[:] = [process for process in _RUNNING if process.poll() is None]
    mounts = [part for source, place in (folders or {}).items() for part in (source, place)]
    around = ["env", "-i", f"root={root}", f"user={user}", f"PATH={namespaces.PATH}"]
    inside = ["env", "-i", f"--chdir={workdir}", *(f"{name}={value}" for name, value in environment.items()), *call]
    process = subprocess.Popen(
        [*unshare(), *around, "sh", "-c", _PREPARE, "sh", *mounts, "--", "/usr/bin/" + inside[0], *inside[1:]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=scratch.die_with_parent,
    )  # fmt: skip
    _RUNNING.append(process)
    return process


_RUNNING: list[subprocess.Popen[bytes]] = []


def stop_all() -> None:
    """End whatever runs in a room of this process, in whichever thread it was started."""
    for process in list(_RUNNING):
        if process.poll() is None:
            process.kill()


def unshare() -> list[str]:
    """What a command begins with to be in a room. Raises Surroundings where that cannot be."""
    return [*(namespaces.root() or ("unshare",)), *_NAMESPACES]


def isolation() -> str:
    """What keeps the processes of a room apart, in words."""
    users = "" if os.getuid() == 0 else "users, "
    return f"namespaces of {users}mounts, processes and network; no limit of memory"
