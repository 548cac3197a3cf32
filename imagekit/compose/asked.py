"""What an image of a registry offers as a base, where there is no engine: it is asked in a room.

Its layers stay in the layer cache, for the image that is made on them; the answer stays too, by digest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from imagekit import foundation, remote
from imagekit.compose import bases, tree
from imagekit.errors import Surroundings, UsageError
from imagekit.files import write
from imagekit.foundation import Foundation
from imagekit.oci import reference as references
from imagekit.oci.kept import Kept
from imagekit.pulled import pulled
from imagekit.remote import Remote
from imagekit.site import Site

SECONDS = 120
"""For the questions, once the image is here."""


def of_registry(reference: str, site: Site, shelf: Kept, say: bases.Say) -> Foundation | None:
    """None where no registry answers for it, or has no such image: then its name must tell enough.

    Raises UsageError, Surroundings for an image that cannot be got or unpacked here.
    """
    try:
        name = references.parse(bases.with_host(reference))
        there = remote.repository(name, site)
        digest = name.digest or there.digest_of(name.tag or "latest", once=True)
    except (UsageError, Surroundings) as error:
        say("", f"{reference} is not asked what it offers: {error.message}")
        return None
    if not digest:
        return None
    key = hashlib.sha256(f"{reference} {digest} {foundation.SCRIPT}".encode()).hexdigest()
    note = shelf.folder / "systems" / f"asked-{key}.json"
    known = _known(note)
    if known is None:
        say("base", f"fetching {reference}, to see what it offers")
        known = _asked(Remote(reference, there, digest), digest, shelf, say)
        write(note, known.model_dump_json().encode())
    return known


def _asked(there: Remote, digest: str, shelf: Kept, say: bases.Say) -> Foundation:
    with shelf.in_use():
        image = pulled(there, shelf, say)
        with tree.unpacked(image, verify=True) as root:
            told = root.image(there.told) or {}
            said = root.run("", ["-c", foundation.SCRIPT], timeout=SECONDS, user="0:0", entrypoint=["/bin/sh"])
    from_there = [f"{there.told.partition('@')[0]}@{digest}"]
    return foundation.read(there.told, {**told, "RepoDigests": from_there}, said.stdout)


def _known(note: Path) -> Foundation | None:
    try:
        return Foundation.model_validate_json(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, ValidationError):
        return None
