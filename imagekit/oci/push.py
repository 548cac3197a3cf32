"""An image into a registry: what it lacks is sent, and the tags come last.

Nothing points to an image before every blob of it was confirmed; whatever happens on the way, a tag is the old image or
the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.errors import Surroundings
from imagekit.oci.answers import Refused
from imagekit.oci.image import MANIFEST, Image
from imagekit.oci.registry import Repository

AT_ONCE = 4
"""Blobs that are sent at a time."""


@dataclass
class Sent:
    """What a push did."""

    blobs: list[str] = field(default_factory=list)
    """Digests of those that were sent."""
    bytes: int = 0
    mounted: int = 0
    there: int = 0


Blob = tuple[str, int, "Path | bytes"]
"""Digest, size, content."""


def push(
    image: Image, target: Repository, tags: Sequence[str], *, mount_from: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Sent:  # fmt: skip
    """Send what is missing, then the manifest by its digest, then each tag in the given order.

    `mount_from`: repositories of the same registry that may have a blob. `progress(bytes sent, bytes to send)`.
    Raises Surroundings; then no tag was moved that was not moved before.
    """
    blobs: dict[str, Blob] = {
        f"sha256:{one.layer.digest}": (f"sha256:{one.layer.digest}", one.layer.size, one.path) for one in image.layers
    }
    blobs[image.id] = (image.id, len(image.config), image.config)
    done = _all(list(blobs.values()), target, mount_from, progress, trust=True)
    try:
        target.put_manifest(image.digest, image.manifest, MANIFEST)
    except Refused as error:
        if not {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"} & set(error.codes):
            raise
        # it said that it had a blob which it has not: a garbage collection ran, or a cache before it was wrong
        again = _all([blob for blob in blobs.values() if blob[0] not in done.blobs], target, (), progress, trust=False)
        done = Sent([*done.blobs, *again.blobs], done.bytes + again.bytes)
        target.put_manifest(image.digest, image.manifest, MANIFEST)
    if target.digest_of(image.digest) != image.digest:
        raise Surroundings(f"{target.wire.host} took the image and does not have it", hint="push again")
    for tag in tags:
        target.put_manifest(tag, image.manifest, MANIFEST)
        if target.digest_of(tag) != image.digest:
            raise Surroundings(f"the tag {tag} at {target.wire.host} is another image", hint="somebody else moved it?")
    return done


def _all(
    blobs: list[Blob], target: Repository, mount_from: Sequence[str], progress: Callable[[int, int], None], trust: bool
) -> Sent:
    """`trust`: what the registry says it has is not sent."""
    done, lock, sent = Sent(), threading.Lock(), [0, 0]
    stop = threading.Event()

    def told(more: int) -> None:
        if stop.is_set():
            raise Surroundings("the push was given up")
        with lock:
            sent[0] += more
            progress(*sent)

    def one(blob: Blob) -> None:
        digest, size, source = blob
        if stop.is_set():
            return
        if trust and target.has(digest, size):
            with lock:
                done.there += 1
            return
        if trust and any(target.mount(digest, name) for name in mount_from):
            with lock:
                done.mounted += 1
            return
        with lock:
            sent[1] += size
        target.upload(digest, size, source, told)
        with lock:
            done.blobs.append(digest)
            done.bytes += size

    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(one, blob) for blob in sorted(blobs, key=lambda blob: -blob[1])]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            target.wire.give_up()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return done
