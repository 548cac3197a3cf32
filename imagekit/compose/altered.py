"""What a command changes in a root, as a layer: distribution packages on an image, the steps of overlays.

The command runs as root of its own users, with the network of this machine; what it leaves is compared by `alter`.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from imagekit import namespaces, scratch
from imagekit.compose import room
from imagekit.errors import BuildFailed
from imagekit.oci import tar
from imagekit.oci.archive import PIECE
from imagekit.oci.layer import Layer
from imagekit.site import Site, scrub

PATIENCE = 3600
"""Seconds for one command."""

LEVEL = 6
"""Of gzip. Layers of distribution packages and of steps are compressed by zlib: another zlib gives another blob."""

NAMES = "/etc/resolv.conf"


def layer(
    root: Path, script: str, out: IO[bytes], site: Site, *, environment: Mapping[str, str] | None = None,
    files: Mapping[str, Path] | None = None, what: str,
) -> Layer:  # fmt: skip
    """Run a script (sh -euc) in a root and write what it changed.

    `files`: where each is seen meanwhile -> file or folder of this machine; `what`: the command in words.
    Raises BuildFailed.
    """
    given = {NAMES: Path(NAMES), **(files or {})}
    mounts = sorted((str(source), target) for target, source in given.items() if source.exists())
    proxies = {"no_proxy" if kind == "no_proxy" else f"{kind}_proxy": value for kind, value in site.proxy.items()}
    own = {**scratch.resolver(), **proxies}
    told = {
        "root": str(root), "folders": mounts,
        "made": [target.lstrip("/") for target in given if not target.startswith("/dev/")], "uid": 0, "gid": 0,
        "workdir": "/", "call": ["/bin/sh", "-euc", script], "installs": True, "epoch": tar.EPOCH,
        "environment": {"PATH": namespaces.PATH, "LANG": "C.UTF-8", **own, **(environment or {})},
    }  # fmt: skip
    process = room.begun("alter.py", told, network=True)
    assert process.stdin and process.stdout and process.stderr
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


def packed(read: Callable[[int], bytes], out: IO[bytes]) -> Layer:
    """A tar as a layer: gzip by zlib, no name and no time in its head."""
    blob, tarred, size, unpacked = hashlib.sha256(), hashlib.sha256(), 0, 0
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    while True:
        data = read(PIECE)
        part = packer.compress(data) if data else packer.flush()
        tarred.update(data)
        blob.update(part)
        out.write(part)
        size, unpacked = size + len(part), unpacked + len(data)
        if not data:
            return Layer(blob.hexdigest(), tarred.hexdigest(), size, unpacked, 0)
