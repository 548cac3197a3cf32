"""What an image of a registry offers as a base, where there is no engine: it is asked in a room.

Its layers stay in the layer cache, for the image that is made on them; the answer stays too, by digest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from imagekit import foundation, namespaces, remote, scratch
from imagekit.compose import bases, tree
from imagekit.errors import Surroundings, UsageError
from imagekit.files import write
from imagekit.foundation import Foundation
from imagekit.oci import reference as references
from imagekit.oci.kept import Kept
from imagekit.oci.reference import Reference
from imagekit.pulled import pulled
from imagekit.remote import Remote
from imagekit.site import Site

SECONDS = 120
"""For the questions, once the image is here."""


def of_registry(reference: str, site: Site, shelf: Kept, say: bases.Say, *, must: bool = False) -> Foundation | None:
    """None where it cannot be asked, or there is no such image: then its name must tell enough.

    `must`: whoever asks cannot go on without. Raises UsageError, Surroundings then.
    """
    try:
        return _of(references.parse(bases.with_host(reference)), reference, site, shelf, say)
    except (UsageError, Surroundings) as error:
        if must:
            raise
        say("", f"{reference} is not asked what it offers: {error.message}")
        return None


def _of(name: Reference, reference: str, site: Site, shelf: Kept, say: bases.Say) -> Foundation | None:
    there = remote.repository(name, site)
    digest = there.digest_of(name.digest or name.tag or "latest", once=True)
    if not digest:
        return None
    key = hashlib.sha256(f"{reference} {digest} {foundation.SCRIPT}".encode()).hexdigest()
    note = shelf.folder / "systems" / f"asked-{key}.json"
    with scratch.one_at_a_time(f"asked-{key[:12]}"):  # threads of a night, other processes: they have the answer then
        known = _known(note)
        if known is None:
            namespaces.root()  # raises before gigabytes are got in vain
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
    if said.timed_out or said.exit_code:
        how = f"within {SECONDS} s" if said.timed_out else f"by a shell ({said.exit_code})"
        raise Surroundings(f"{there.told} does not answer {how}", details=said.stderr.splitlines()[-3:])
    from_there = [f"{there.told.partition('@')[0]}@{digest}"]
    return foundation.read(there.told, {**told, "RepoDigests": from_there}, said.stdout)


def _known(note: Path) -> Foundation | None:
    try:
        return Foundation.model_validate_json(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
