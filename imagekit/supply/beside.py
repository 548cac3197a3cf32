"""What goes with an image into a registry besides its proof: record and lock, SBOM, provenance, signatures."""

from __future__ import annotations

from imagekit import papers
from imagekit.lock.model import Lock
from imagekit.locking import Say
from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.reference import Reference
from imagekit.oci.referrers import Paper
from imagekit.oci.registry import Repository
from imagekit.publish import TAKES_NONE
from imagekit.record import Record
from imagekit.site import Site
from imagekit.supply import provenance, sbom, verified
from imagekit.supply.contents import Contents


def attach(
    place: Reference, there: Repository, digest: str, made: tuple[Lock, Record] | None, licenses: Contents, site: Site,
    say: Say,
) -> None:  # fmt: skip
    """To the image of a digest; the same once more changes nothing. What is attached here is signed, and nothing else.

    `made`: lock and record; None where nobody has them: the image is signed all the same. Raises Surroundings.
    """
    own = list[str]()
    try:
        known = {one.digest for one in referrers.all_of(there, digest)} if made else set()
        for paper in _papers(*made, licenses, digest) if made else ():
            own.append(referrers.attach(there, digest, paper.kind, paper.content, paper.annotations, known))
    except Refused as error:
        if error.status not in TAKES_NONE:
            raise  # else that it takes nothing was said of the proof
    word = verified.sign(place, [digest, *own], site)
    if word:
        say("sign", word)


def _papers(lock: Lock, record: Record, licenses: Contents, digest: str) -> tuple[Paper, ...]:
    return (
        papers.made_from(record, lock),
        sbom.paper(lock, record, licenses, digest),
        provenance.paper(lock, record, digest),
    )
