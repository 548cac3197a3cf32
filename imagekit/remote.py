"""An image in a registry, asked without pulling it: manifest, config, and the one small layer that tells of it."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import zlib
from typing import Any

from imagekit.errors import Surroundings, UsageError
from imagekit.oci import connect
from imagekit.oci.answers import Refused
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.site import Site

SMALL = 50_000_000
"""Bytes of a layer that is fetched to see what is in it; imagekit's own files have a tenth of one."""

UNPACKED = 4 * SMALL
"""Bytes of it that are read, unpacked."""

OURS = ("imagekit: its own files", "COPY rootfs/ /")
"""Lines of the history of the layer with /opt/imagekit: of a composed image, and of a Dockerfile's."""


def repository(reference: Reference, site: Site) -> Repository:
    """Where an image is or goes, with the site's CA and proxy."""
    return connect.to(reference, site.ca, site.proxy_for(f"https://{reference.host}/"))


class Remote:
    """What `inspection` asks of an engine, for an image in a registry. Sizes are those of the blobs: compressed."""

    def __init__(self, reference: Reference, site: Site) -> None:
        self._reference = reference
        self._there = repository(reference, site)
        self._manifest: dict[str, Any] = {}
        self._config: dict[str, Any] = {}

    def image(self, _: str) -> dict[str, Any]:
        """In the form of `docker inspect`. Raises UsageError where the registry has no such image."""
        name = self._reference.digest or self._reference.tag or "latest"
        try:
            content, _kind = self._there.manifest(name)
        except Refused as error:
            if error.status == 404:
                raise UsageError(f"{self._reference.host} has no image {self._reference}") from None
            raise
        self._manifest = _for_amd64(self._there, content)
        try:
            config = self._manifest["config"]
            self._config = json.loads(self._there.read(config["digest"]))
            layers = self._manifest["layers"]
            return {
                "Id": config["digest"], "Config": self._config.get("config") or {}, "RepoTags": [],
                "RepoDigests": [str(self._reference)], "Created": self._config.get("created", ""),
                "Size": sum(int(row["size"]) for row in layers),
            }  # fmt: skip
        except (ValueError, KeyError, TypeError):
            raise Surroundings(f"{self._reference} is no image that can be read") from None

    def history(self, _: str) -> list[dict[str, Any]]:
        """Lines with the sizes of their layers, the lowest first."""
        sizes = iter(int(row["size"]) for row in self._manifest["layers"])
        rows = self._config.get("history") or []
        return [
            {"CreatedBy": row.get("created_by", ""), "Size": 0 if row.get("empty_layer") else next(sizes, 0)}
            for row in rows
        ]

    def files(self, _: str, paths: list[str]) -> dict[str, bytes]:
        """Files of the layer with imagekit's own: of /opt/imagekit/record it has none but by chance."""
        lines = [row.get("created_by", "") for row in self._config.get("history") or [] if not row.get("empty_layer")]
        found: dict[str, bytes] = {}
        for line, row in zip(lines, self._manifest["layers"], strict=False):
            if any(ours in line for ours in OURS) and int(row["size"]) <= SMALL:
                found |= _read(self._there.read(row["digest"], SMALL), paths)
        return found


def _for_amd64(there: Repository, content: bytes) -> dict[str, Any]:
    """The manifest of an image, out of an index if need be. Raises UsageError where there is none for this CPU."""
    try:
        found: dict[str, Any] = json.loads(content)
        if "manifests" not in found:
            return found
        wanted = [row for row in found["manifests"] if (row.get("platform") or {}).get("architecture") == "amd64"]
        if not wanted:
            raise UsageError("the image is for other CPUs: there is none for amd64")
        return dict(json.loads(there.manifest(wanted[0]["digest"])[0]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Surroundings(f"{there.wire.host} sends a manifest that cannot be read") from None


def _read(blob: bytes, paths: list[str]) -> dict[str, bytes]:
    """Files of a layer of somebody's: a few bytes may be many, so it is read as a stream and not to any end."""
    found: dict[str, bytes] = {}
    with (
        contextlib.suppress(OSError, EOFError, zlib.error, tarfile.TarError),
        tarfile.open(fileobj=io.BytesIO(blob), mode="r|gz") as archive,
    ):
        for member in archive:
            path = f"/{member.name.removeprefix('./')}"
            wanted = any(path == one or path.startswith(f"{one}/") for one in paths)
            if archive.offset > UNPACKED:
                break
            if wanted and member.isreg() and member.size <= SMALL:
                content = archive.extractfile(member)
                found[path] = content.read() if content else b""
    return found
