"""The image's own files as a layer, and what a container of it starts with: the image contract (docs/image.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagekit import contract
from imagekit.lock.model import Lock
from imagekit.oci import layer, tar
from imagekit.oci.image import Configuration
from imagekit.oci.kept import Kept, Made
from imagekit.render import Context


def layer_of(context: Context, shelf: Kept) -> Made:
    ours = {path: file for path, file in context.files.items() if path.startswith(("rootfs/", "files/"))}
    files = {path.partition("/")[2]: file for path, file in ours.items()}
    rows = [(path, f.mode, f.link, hashlib.sha256(f.content).hexdigest()) for path, f in sorted(files.items())]
    key = hashlib.sha256(json.dumps([layer.FORMAT, "own", rows]).encode()).hexdigest()
    return shelf.take(key, lambda out: layer.write(out, _entries(files), pack=True))


def _entries(files: dict[str, contract.File]) -> Iterator[tuple[tar.Entry, bytes]]:
    seen: set[str] = set()
    for path, file in sorted(files.items(), key=lambda row: row[0].split("/")):
        parts = path.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder not in seen:
                seen.add(folder)
                mode = 0o2775 if folder in contract.SHARED else layer.DIRECTORY_MODE
                yield tar.Entry(folder, tar.DIRECTORY, mode), b""
        if file.link:
            yield tar.Entry(path, tar.LINK, 0o777, link=file.link), b""
        else:
            yield tar.Entry(path, tar.FILE, file.mode, len(file.content)), file.content


def configuration(
    lock: Lock, env: Mapping[str, str], labels: Mapping[str, str], more: Mapping[str, Any]
) -> Configuration:  # fmt: skip
    """`env`, `labels`, `more`: of what the image stands on."""
    r = lock.resolution
    return Configuration(
        env={**env, **contract.ENV, **r.env}, labels={**labels, **contract.labels(lock)}, user=contract.USER,
        workdir="/workspace", entrypoint=(*contract.START, *r.starts), cmd=("python",), more=more,
    )  # fmt: skip
