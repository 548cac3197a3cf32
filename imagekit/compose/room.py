"""A folder as the root of a process: what an image holds is run where there is no engine.

By namespaces of the kernel, with unshare(1): own mounts, processes, network, and, unless root asks, own users; what is
outside of the root is unmounted (`enter`), and no capability is left. What it does not have is a limit of memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagekit import namespaces, resources, scratch

_NAMESPACES = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]


def start(
    root: Path, call: Sequence[str], environment: Mapping[str, str], *, user: str = "0:0",
    folders: Mapping[str, str] | None = None, workdir: str = "/",
) -> subprocess.Popen[bytes]:  # fmt: skip
    """A process in a root, with pipes, without a network. It and all that it starts end with imagekit.

    `user`: uid:gid inside; `folders`: of this machine -> where they are seen inside, read-only.
    Raises Surroundings where there are no namespaces.
    """
    uid, gid = (int(part) for part in user.split(":"))
    told = {
        "root": str(root), "folders": sorted((folders or {}).items()), "uid": uid, "gid": gid, "workdir": workdir,
        "environment": dict(environment), "call": list(call),
    }  # fmt: skip
    return begun("enter.py", told, network=False)


def begun(program: str, told: Mapping[str, object], *, network: bool) -> subprocess.Popen[bytes]:
    """A program of this folder in namespaces of its own, with pipes. Raises Surroundings where there are none.

    `told`: the first line of its stdin. Everybody sees the arguments of a process, and what runs inside its variables:
    a proxy may have a password, and paths of this machine are nobody's business.
    """
    call = [sys.executable, "-I", "-S", str(resources.compose() / program)]
    process = subprocess.Popen(
        [*unshare(network=network), *call], env={"PATH": namespaces.PATH},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=scratch.killed_with_parent,
    )  # fmt: skip
    with _LOCK:
        _RUNNING[:] = [known for known in _RUNNING if known.poll() is None]
        _RUNNING.append(process)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # it has ended, and says why
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
    return process


_RUNNING: list[subprocess.Popen[bytes]] = []
_LOCK = threading.Lock()


def stop_all() -> None:
    """End whatever runs in a room of this process, in whichever thread it was started."""
    with _LOCK:
        running = list(_RUNNING)
    for process in running:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Now: with unshare goes the first process of its room, and with that all others."""
    if process.poll() is None:
        process.kill()


def unshare(*, network: bool = False) -> list[str]:
    """What a command begins with to be in a room; `network`: that of this machine. Raises Surroundings where that
    cannot be."""
    return [*namespaces.root(), *_NAMESPACES, *([] if network else ["--net"])]


def isolation() -> str:
    """What keeps the processes of a room apart, in words."""
    users = "" if os.getuid() == 0 else "users, "
    return f"namespaces of {users}mounts, processes and network; no limit of memory"
