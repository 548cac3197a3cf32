"""An image of a registry or of an OCI layout with its layers as files of this machine, so that it can be run, proven
and stacked anew without an engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from imagekit import amounts
from imagekit.errors import Surroundings, UsageError
from imagekit.oci.folder import Folder
from imagekit.oci.image import GZIP, Image, Stacked
from imagekit.oci.kept import Kept
from imagekit.oci.layer import Layer
from imagekit.oci.places import Places
from imagekit.oci.registry import Repository
from imagekit.remote import Remote

GZIPPED = (GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip")

AT_ONCE = 3
"""Layers that are fetched at a time."""


def pulled(remote: Remote, shelf: Kept, say: Callable[[str, str], None], *, whole: bool = True) -> Image:
    """The image; `whole`: with its layers here, each compared with its digest, those of a registry in the layer cache.

    Otherwise only what is here already has a file. Raises UsageError for an image that cannot be unpacked here.
    """
    remote.image(remote.name)
    layers = _layers(remote)
    if isinstance(remote.there, Repository):
        places = Places(shelf.folder / "places", remote.there.wire.host)
        places.note(remote.there.name, [f"sha256:{layer.digest}" for layer, _ in layers])
    if whole and isinstance(remote.there, Repository):
        missing = sum(layer.size for layer, _ in layers if not shelf.holds(layer.digest, layer.size))
        if missing:
            say("fetch", f"{amounts.size(missing)} of layers that are not here")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        paths = list(pool.map(lambda row: _path(remote, row[0], shelf, whole), layers))
    stacked = tuple(Stacked(layer, path, by) for (layer, by), path in zip(layers, paths, strict=True))
    manifest, config = remote.raw
    return Image(config, manifest, stacked)


def _layers(remote: Remote) -> list[tuple[Layer, str]]:
    """(layer, line of the history), the lowest first. Not told: how many files a layer has, its size unpacked."""
    try:
        rows: list[dict[str, Any]] = remote.manifest["layers"]
        diff_ids = [str(one) for one in remote.config["rootfs"]["diff_ids"]]
        history = [row for row in remote.config.get("history") or [] if not row.get("empty_layer")]
        lines = [str(row.get("created_by", "")) for row in history] if len(history) == len(rows) else [""] * len(rows)
        odd = {str(row["mediaType"]) for row in rows} - set(GZIPPED)
        if odd:
            raise UsageError(f"{remote.told} has layers that are no gzip: {', '.join(sorted(odd))}")
        return [
            (Layer(_hex(row["digest"]), _hex(diff_id), int(row["size"]), 0, 0), line)
            for row, diff_id, line in zip(rows, diff_ids, lines, strict=True)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Surroundings(f"{remote.told} is no image that can be read") from None


def _path(remote: Remote, layer: Layer, shelf: Kept, whole: bool) -> Path:
    found = shelf.holds(layer.digest, layer.size)
    if found:
        return found
    digest, there = f"sha256:{layer.digest}", remote.there
    if isinstance(there, Folder):
        path = there.whole(digest) if whole else there.blob(digest)
        if path.stat().st_size != layer.size:
            raise UsageError(f"the layer {digest[:19]} of {remote.told} has another size than the image says")
        return path
    if not whole or not isinstance(there, Repository):
        return Path()

    def fetch(out: IO[bytes]) -> Layer:
        there.download(digest, out)
        return layer

    return shelf.take(f"blob-{layer.digest}", fetch)[1]


def _hex(digest: object) -> str:
    kind, _, value = str(digest).partition(":")
    if kind != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(str(digest))
    return value
