"""What a command changes in a root, as a layer: distribution packages on an image, the steps of overlays.

The command runs as root of its own users, with the network of this machine; what it leaves is compared by `alter`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from imagekit import namespaces, scratch
from imagekit.compose import room
from imagekit.errors import BuildFailed
from imagekit.oci import gzip_member, tar
from imagekit.oci.layer import Layer
from imagekit.site import Site, scrub

PATIENCE = 3600
"""Seconds for one command."""

PART = 2**23
"""Bytes of the tar that are compressed by themselves."""

NAMES = "/etc/resolv.conf"
SCRIPT = "/dev/script"
"""Where the script is seen; /dev is the process's own."""


def layer(
    root: Path, script: str, out: IO[bytes], site: Site, *, environment: Mapping[str, str] | None = None,
    files: Mapping[str, Path] | None = None, what: str,
) -> Layer:  # fmt: skip
    """Run a script (sh -eu) in a root and write what it changed.

    `files`: where each is seen meanwhile -> file or folder of this machine; `what`: the command in words.
    Raises BuildFailed.
    """
    written = root.parent / "script"  # an argument has a limit
    written.write_text(script, encoding="utf-8")
    written.chmod(0o644)
    given = {NAMES: Path(NAMES), SCRIPT: written, **(files or {})}
    mounts = sorted((str(source), target) for target, source in given.items() if source.exists())
    proxies = {"no_proxy" if kind == "no_proxy" else f"{kind}_proxy": value for kind, value in site.proxy.items()}
    own = {**scratch.resolver(), **proxies}
    told = {
        "root": str(root), "folders": mounts,
        "made": [target.lstrip("/") for _, target in mounts if not target.startswith("/dev/")], "uid": 0, "gid": 0,
        "workdir": "/", "call": ["/bin/sh", "-eu", SCRIPT], "installs": True, "epoch": tar.EPOCH,
        "environment": {"PATH": namespaces.PATH, "LANG": "C.UTF-8", **own, **(environment or {})},
    }  # fmt: skip
    process = room.begun("alter.py", told, network=True)
    assert process.stdin and process.stdout and process.stderr
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    said = bytearray()

    def listen(stream: IO[bytes] = process.stderr) -> None:
        for line in stream:
            said.extend(line)
            del said[:-100_000]

    listener, alarm = threading.Thread(target=listen, daemon=True), threading.Timer(PATIENCE, process.kill)
    alarm.daemon = True
    listener.start()
    alarm.start()
    try:
        made = packed(process.stdout.read, out)
        code = process.wait()
    except BaseException:
        room.end(process)
        process.wait()
        raise
    finally:
        alarm.cancel()
        listener.join(5)
    if code:
        lines = [scrub(line, site.hosts) for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        raise BuildFailed(f"{what} failed", details=lines[-12:])
    return made


def packed(read: Callable[[int], bytes], out: IO[bytes], level: int = gzip_member.LEVEL) -> Layer:
    """A tar as a layer: gzip in members of `PART` bytes, on all CPUs, no name and no time in their heads."""
    blob, tarred, size, unpacked = hashlib.sha256(), hashlib.sha256(), 0, 0
    cpus = os.cpu_count() or 1
    with ThreadPoolExecutor(cpus) as pool:
        parts: deque[Future[bytes]] = deque()
        while True:
            data = _whole(read)
            tarred.update(data)
            unpacked += len(data)
            if data or not unpacked:
                parts.append(pool.submit(gzip_member.packed, data, level))
            while parts and (not data or len(parts) > 2 * cpus):
                done = parts.popleft().result()
                blob.update(done)
                out.write(done)
                size += len(done)
            if not data:
                return Layer(blob.hexdigest(), tarred.hexdigest(), size, unpacked, 0)


def _whole(read: Callable[[int], bytes]) -> bytes:
    """The next `PART` bytes: a pipe gives what it has, and the blob must not depend on that."""
    got, length = [], 0
    while length < PART and (data := read(PART - length)):
        got.append(data)
        length += len(data)
    return b"".join(got)
