"""What belongs to an image and is no part of it: reports, signatures, lists of contents (OCI image and distribution
specifications 1.1, `subject` and referrers).

A registry that knows referrers lists them by itself. In one that does not (Debian's docker-registry 2.8, Harbor before
2.8, GHCR), the tag `sha256-<digest of the image>` is an index of them, which whoever adds one writes anew.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from imagekit.errors import Surroundings
from imagekit.oci.answers import Refused
from imagekit.oci.challenge import pause
from imagekit.oci.image import INDEX, MANIFEST, descriptor
from imagekit.oci.image import digest as digest_of
from imagekit.oci.reference import DIGEST
from imagekit.oci.registry import MANIFEST_MOST, Repository

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

WRITES = 5
"""How often a list is written anew that has lost what was put into it: a registry has no way to hold it meanwhile."""

MOST = 2**24
"""Bytes of what is attached: reports and lists, no layers."""


@dataclass(frozen=True)
class Paper:
    """Something to attach."""

    kind: str
    """Artifact type, a media type."""
    content: bytes
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Attached:
    """One thing that refers to an image."""

    digest: str
    """Of its manifest."""
    kind: str
    """Its artifact type, a media type."""
    annotations: Mapping[str, str]


def attach(
    there: Repository, image: str, kind: str, content: bytes, annotations: Mapping[str, str],
    known: Collection[str] = (),
) -> str:  # fmt: skip
    """Add something to the image of a digest; the digest of its manifest. The same once more changes nothing.

    `kind`: artifact type, and the media type of the content; `known`: digests of what is there. Raises Surroundings,
    Refused.
    """
    subject, subject_type = there.manifest(image)
    manifest = _json({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": descriptor(EMPTY_TYPE, EMPTY),
        "layers": [descriptor(kind, content)], "annotations": dict(annotations),
        "subject": {"mediaType": subject_type or MANIFEST, "digest": image, "size": len(subject)},
    })  # fmt: skip
    if digest_of(manifest) in known:
        return digest_of(manifest)
    for blob in (EMPTY, content):
        digest = digest_of(blob)
        if not there.has(digest, len(blob)):
            there.upload(digest, len(blob), blob)
    return put(there, image, manifest, Attached(digest_of(manifest), kind, annotations))


def put(there: Repository, image: str, manifest: bytes, one: Attached) -> str:
    """A manifest whose subject is the image of a digest, and whose blobs are there; its digest."""
    if there.put_manifest(one.digest, manifest, MANIFEST) == image:
        return one.digest
    entry = descriptor(MANIFEST, manifest) | {"artifactType": one.kind, "annotations": dict(one.annotations)}
    tried = 0
    while one.digest not in (rows := _rows(there, image)):
        if tried == WRITES:
            raise Surroundings(
                f"{there.wire.host} keeps no list of what belongs to {image[:19]}, or others write it time and again",
                hint="try again in a while",
            )
        if tried:  # somebody else wrote it at the same moment, without ours
            there.wire.rest(pause(tried, ""))
            rows = _rows(there, image)
        index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*(rows | {one.digest: entry}).values()]})
        there.put_manifest(image.replace(":", "-"), index, INDEX)
        tried += 1
    return one.digest


def _rows(there: Repository, image: str) -> dict[str, dict[str, Any]]:
    """Digest -> entry of the list that is a tag."""
    return {str(row.get("digest")): row for row in _by_tag(there, image) if isinstance(row, dict)}


def of(there: Repository, image: str, kind: str) -> list[Attached]:
    """What of a kind refers to the image of a digest, in the registry's order. Raises Surroundings."""
    return [one for one in all_of(there, image) if one.kind == kind]


def all_of(there: Repository, image: str) -> list[Attached]:
    """Whatever refers to the image of a digest. Raises Surroundings."""
    found = (_attached(there, row) for row in _listed(there, image))
    return [one for one in found if DIGEST.fullmatch(one.digest)]


def is_about(there: Repository, one: Attached, image: str) -> bool:
    """Whether its own manifest says so: a list of referrers may be written by anybody who may push."""
    try:
        return bool(json.loads(there.manifest(one.digest)[0])["subject"]["digest"] == image)
    except Refused as error:
        if error.status != 404:
            raise
        return False
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def content(there: Repository, one: Attached) -> bytes:
    """Raises ValueError for what is not one thing of its kind, Refused where it is not whole, Surroundings."""
    raw, _ = there.manifest(one.digest)
    try:
        (row,) = json.loads(raw)["layers"]
        kind, digest, size = str(row["mediaType"]), str(row["digest"]), int(row["size"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        kind, digest, size = "", "", 0
    if kind != one.kind or not DIGEST.fullmatch(digest) or not 0 <= size <= MOST:
        raise ValueError(f"{one.digest} is no {one.kind}")
    return there.read(digest, MOST)


def _listed(there: Repository, image: str) -> list[dict[str, Any]]:
    found = list[dict[str, Any]]()
    try:
        for answer in there.pages(f"/v2/{there.name}/referrers/{image}", fine=(404, 400, 405)):
            if answer.status_code != 200:
                return _by_tag(there, image)
            found += answer.json()["manifests"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Surroundings(f"{there.wire.host} answers for referrers with something else") from None
    return found


def _by_tag(there: Repository, image: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(there.manifest(image.replace(":", "-"))[0])["manifests"])
    except Refused as error:
        if error.status == 404:
            return []
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Surroundings(f"the tag {image.replace(':', '-')} at {there.wire.host} is no list of referrers") from None


def _attached(there: Repository, row: Mapping[str, Any]) -> Attached:
    try:
        annotations = {str(name): str(text) for name, text in (row.get("annotations") or {}).items()}
        return Attached(str(row["digest"]), str(row.get("artifactType") or ""), annotations)
    except (KeyError, TypeError, AttributeError):
        raise Surroundings(f"{there.wire.host} answers for referrers with something else") from None


def _json(value: object) -> bytes:
    found = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    if len(found) > MANIFEST_MOST:
        raise Surroundings("what refers to the image is more than a manifest can list", hint="remove old referrers")
    return found
