"""What goes with an image into a registry besides its proof: record and lock, SBOM, provenance, signatures."""

from __future__ import annotations

from imagekit import papers
from imagekit.lock.model import Lock
from imagekit.locking import Say
from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.publish import TAKES_NONE
from imagekit.record import Record
from imagekit.site import Site
from imagekit.supply import provenance, sbom, verified
from imagekit.supply.contents import Licenses


def attach(
    place: Reference, there: Repository, digest: str, made: tuple[Lock, Record], licenses: Licenses, site: Site,
    say: Say,
) -> None:  # fmt: skip
    """To the image of a digest; the same once more changes nothing. Raises Surroundings."""
    lock, record = made
    rows = (
        papers.made_from(record, lock),
        sbom.paper(lock, record, licenses, digest),
        provenance.paper(lock, record, digest),
    )
    try:
        for paper in rows:
            referrers.attach(there, digest, paper.kind, paper.content, paper.annotations)
    except Refused as error:
        if error.status not in TAKES_NONE:
            raise
        return  # that it takes nothing was said of the proof
    word = verified.sign(place, digest, site)
    if word:
        say("sign", word)
