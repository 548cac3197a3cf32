"""Where an image goes to from where it was pushed: looked at every night, and done when it may be."""

from __future__ import annotations

from imagekit import promote, publish, remote
from imagekit.errors import NotProven
from imagekit.oci import reference as references
from imagekit.site import Site

THERE = "there"


def promoted(name: str, reference: str, to: str, site: Site, held: str = "") -> str:
    """there | moved | held: why not. `name`: the profile tag; `reference`: HOST/REPOSITORY@DIGEST; `held`: why it may
    not go there now, if there is something; where it is already it stays.

    An image that somebody has taken back there is not sent again. Raises UsageError, Surroundings.
    """
    repository, _, tag = name.rpartition(":")
    digest = references.parse(reference).digest
    there = remote.repository(promote.destination(to, repository, site), site)
    if there.digest_of(tag) == digest:
        return THERE
    if held:
        return f"held: {held}"
    moves = publish.history(there, tag)
    back = next((move for move in moves if move.back and move.was == digest), None)
    if back:
        return f"held: it was taken back there on {back.time[:10]}"
    try:
        done = promote.promote(reference, to, site, lambda *_: None)
    except NotProven as error:
        return f"held: {error.details[0] if error.details else error.message}"
    stays = [outcome for outcome in done.outcomes if outcome.tag == tag and outcome.state == "kept"]
    return f"held: {stays[0].why}" if stays else "moved"
