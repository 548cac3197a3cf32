"""An image from one repository into another, byte for byte: what its registry has is taken over, the rest is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from imagekit import scratch
from imagekit.errors import Surroundings
from imagekit.oci import cosign, referrers
from imagekit.oci.image import MANIFEST
from imagekit.oci.registry import Repository

AT_ONCE = 3
"""Blobs that are on their way at a time."""

DEEP = 3
"""An index may name an index; more of it is a mistake."""


@dataclass
class Copied:
    there: int = 0
    mounted: int = 0
    sent: int = 0
    bytes: int = 0
    """Of those that were sent."""


def copy(source: Repository, target: Repository, digest: str, *, without: Collection[str] = ()) -> Copied:
    """The image of a digest with its signature, and what refers to it but for these artifact types with theirs.

    No name is moved.

    Raises Surroundings.
    """
    done = Copied()
    _manifest(source, target, digest, done, lambda content, kind: target.put_manifest(digest, content, kind))
    _signature(source, target, digest, done)
    for one in referrers.all_of(source, digest):
        if one.kind not in without:
            _signature(source, target, one.digest, done)
            _manifest(
                source,
                target,
                one.digest,
                done,
                lambda content, _, one=one: referrers.put(target, digest, content, one),  # type: ignore[misc]
            )
    return done


def _signature(source: Repository, target: Repository, digest: str, done: Copied) -> None:
    """Of cosign, where there is one: it is found by its tag."""
    tag = cosign.tag_of(digest)
    if signature := cosign.signature(source, digest):
        _manifest(source, target, signature, done, lambda content, kind: target.put_manifest(tag, content, kind))


def _manifest(
    source: Repository, target: Repository, digest: str, done: Copied, put: Callable[[bytes, str], str], deep: int = 0
) -> None:
    content, kind = source.manifest(digest)
    try:
        found: dict[str, Any] = json.loads(content)
        below = [str(row["digest"]) for row in found.get("manifests") or []]
        rows = [found["config"], *found["layers"]] if "config" in found else []
        blobs = [(str(row["digest"]), int(row["size"])) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Surroundings(f"{source.name}@{digest[:19]} at {source.wire.host} is no manifest") from None
    if deep == DEEP:
        raise Surroundings(f"{source.name}@{digest[:19]} at {source.wire.host} is an index of indexes")
    for one in below:
        _manifest(source, target, one, done, lambda inner, its, one=one: target.put_manifest(one, inner, its), deep + 1)  # type: ignore[misc]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for state, size in pool.map(lambda row: _blob(source, target, *row), dict(blobs).items()):
                setattr(done, state, getattr(done, state) + 1)
                done.bytes += size
        except BaseException:  # Ctrl-C reaches this thread only
            for end in (source, target):
                end.wire.give_up()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    put(content, kind or MANIFEST)


def _blob(source: Repository, target: Repository, digest: str, size: int) -> tuple[str, int]:
    if target.has(digest, size):
        return "there", 0
    if source.wire.host == target.wire.host and target.mount(digest, source.name):
        return "mounted", 0
    try:
        with scratch.folder("copy") as place:
            with (place / "blob").open("wb") as out:
                source.download(digest, out)
            target.upload(digest, size, place / "blob")
    except OSError as error:
        raise Surroundings(f"a blob cannot be kept on its way: {error.strerror}", hint="is the disk full?") from None
    return "sent", size
