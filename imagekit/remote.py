"""An image in a registry or in an OCI layout, asked without pulling or loading it: manifest, config, and the one small
layer that tells of it."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import zlib
from pathlib import Path
from typing import Any, Protocol

from imagekit.errors import Surroundings, UsageError
from imagekit.oci import connect
from imagekit.oci import reference as references
from imagekit.oci.answers import Refused
from imagekit.oci.folder import Folder
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
    plain = site.settings.registry.plain
    scheme = "http" if reference.host in plain else "https"
    return connect.to(reference, site.ca, site.proxy_for(f"{scheme}://{reference.host}/"), plain)


class Readable(Protocol):
    """A repository of a registry, or an OCI layout."""

    def manifest(self, reference: str, /) -> tuple[bytes, str]: ...
    def read(self, digest: str, most: int = ...) -> bytes: ...


REGISTRY, LAYOUT = "registry:", "oci:"


def is_remote(name: str) -> bool:
    """Whether an image is named by where it is, and no engine is asked: registry:REFERENCE, oci:DIR, oci:DIR:TAG."""
    return name.startswith((REGISTRY, LAYOUT))


def find(name: str, site: Site) -> Remote:
    """Raises UsageError for a name that is none."""
    if name.startswith(REGISTRY):
        reference = references.parse(name.removeprefix(REGISTRY))
        return Remote(str(reference), repository(reference, site), reference.digest or reference.tag or "latest")
    folder, tag = in_layout(name)
    return Remote(name, folder, tag)


def in_layout(name: str) -> tuple[Folder, str]:
    """Folder and tag of oci:DIR or oci:DIR:TAG, as skopeo writes them."""
    path = name.removeprefix(LAYOUT)
    folder, colon, tag = path.rpartition(":")
    return (Folder(Path(folder)), tag) if colon and "/" not in tag else (Folder(Path(path)), "")


class Remote:
    """What `inspection` asks of an engine, for an image elsewhere. Sizes are those of the blobs: compressed."""

    def __init__(self, told: str, there: Readable, name: str) -> None:
        self.told, self.there, self.name = told, there, name
        self.raw = (b"", b"")
        """Manifest and config, the very bytes, once `image` was asked."""
        self.manifest: dict[str, Any] = {}
        self.config: dict[str, Any] = {}

    def image(self, _: str) -> dict[str, Any]:
        """In the form of `docker inspect`. Raises UsageError where there is no such image."""
        try:
            content, _kind = self.there.manifest(self.name)
        except Refused as error:
            if error.status == 404:
                raise UsageError(f"there is no image {self.told}") from None
            raise
        content, self.manifest = _for_amd64(self.told, self.there, content)
        try:
            config = self.manifest["config"]
            self.raw = content, self.there.read(config["digest"])
            self.config = _well_formed(json.loads(self.raw[1]))
            layers = self.manifest["layers"]
            return {
                "Id": config["digest"], "Config": self.config.get("config") or {}, "RepoTags": [],
                "RepoDigests": [self.told], "Created": self.config.get("created", ""),
                "Size": sum(int(row["size"]) for row in layers),
                "RootFS": {"Layers": [str(one) for one in self.config["rootfs"]["diff_ids"]]},
            }  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Surroundings(f"{self.told} is no image that can be read") from None

    def history(self, _: str) -> list[dict[str, Any]]:
        """Lines with the sizes of their layers, the lowest first."""
        sizes = iter(int(row["size"]) for row in self.manifest["layers"])
        rows = self.config.get("history") or []
        return [
            {"CreatedBy": row.get("created_by", ""), "Size": 0 if row.get("empty_layer") else next(sizes, 0)}
            for row in rows
        ]

    def files(self, _: str, paths: list[str]) -> dict[str, bytes]:
        """Files of the layer with imagekit's own: of /opt/imagekit/record it has none but by chance."""
        lines = [row.get("created_by", "") for row in self.config.get("history") or [] if not row.get("empty_layer")]
        found: dict[str, bytes] = {}
        for line, row in zip(lines, self.manifest["layers"], strict=False):
            if any(ours in line for ours in OURS) and int(row["size"]) <= SMALL:
                found |= _read(self.there.read(row["digest"], SMALL), paths)
        return found


def _for_amd64(told: str, there: Readable, content: bytes) -> tuple[bytes, dict[str, Any]]:
    """The manifest of an image, out of an index if need be. Raises UsageError where there is none for this CPU."""
    try:
        found: dict[str, Any] = json.loads(content)
        if "manifests" not in found:
            return content, found
        wanted = [row for row in found["manifests"] if (row.get("platform") or {}).get("architecture") == "amd64"]
        if not wanted:
            raise UsageError(f"{told} is for other CPUs: there is none for amd64")
        content = there.manifest(wanted[0]["digest"])[0]
        return content, dict(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Surroundings(f"{told} is no image that can be read") from None


def _well_formed(config: Any) -> dict[str, Any]:
    """A configuration in which everything is there in its kind: tools write null, and leave out. Raises ValueError."""
    own = config.get("config") or {}
    kinds = {"Env": list, "Entrypoint": list, "Cmd": list, "Labels": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(own.get(name) or kind(), kind)]
    rows = config.get("history") or []
    if wrong or not all(isinstance(row, dict) for row in rows):
        raise ValueError(", ".join(wrong) or "history")
    return {**config, "config": own, "history": rows}


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
