"""An image into a registry: what it lacks is sent, and the tags come last.

Nothing points to an image before every blob of it was confirmed; whatever happens on the way, a tag is the old image or
the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagekit.errors import Surroundings
from imagekit.oci.answers import Refused
from imagekit.oci.image import MANIFEST, Image
from imagekit.oci.sending import Sending, Sent


def push(
    image: Image, sending: Sending, tags: Sequence[str], *, progress: Callable[[int, int], None] = lambda *_: None
) -> Sent:
    """Send what is missing, then the manifest by its digest, then each tag in the given order.

    `sending`: may have begun with some of the blobs. `progress(bytes sent, bytes to send)`.
    Raises Surroundings; then no tag was moved that was not moved before.
    """
    target, sending.progress = sending.target, progress
    done = _sent(image, sending)
    try:
        target.put_manifest(image.digest, image.manifest, MANIFEST)
    except Refused as error:
        if not {"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"} & set(error.codes):
            raise
        # it said that it had a blob which it has not: a garbage collection ran, or a cache before it was wrong
        doubting = Sending(target, trust=False)
        doubting.progress = progress
        again = _sent(image, doubting, besides=done.blobs)
        done = Sent([*done.blobs, *again.blobs], done.bytes + again.bytes)
        target.put_manifest(image.digest, image.manifest, MANIFEST)
    if target.digest_of(image.digest) != image.digest:
        raise Surroundings(f"{target.wire.host} took the image and does not have it", hint="push again")
    for tag in tags:
        target.put_manifest(tag, image.manifest, MANIFEST)
        if target.digest_of(tag) != image.digest:
            raise Surroundings(f"the tag {tag} at {target.wire.host} is another image", hint="somebody else moved it?")
    return done


def _sent(image: Image, sending: Sending, besides: Sequence[str] = ()) -> Sent:
    """All blobs of an image, the largest first; `besides`: digests of those that need not go."""
    try:
        for one in sorted(image.layers, key=lambda one: -one.layer.size):
            if f"sha256:{one.layer.digest}" not in besides:
                sending.layer(one)
        if image.id not in besides:
            sending.begin(image.id, len(image.config), image.config)
    except BaseException:
        sending.give_up()
        raise
    return sending.finish()
