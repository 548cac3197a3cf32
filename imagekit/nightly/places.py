"""Where an image goes to from where it was pushed: looked at every night, and done when it may be."""

from __future__ import annotations

from imagekit import promote, publish, remote
from imagekit.errors import NotProven
from imagekit.oci import reference as references
from imagekit.oci.registry import Repository
from imagekit.site import Site

THERE = "there"


def is_there(name: str, reference: str, to: str, site: Site) -> bool:
    """As `promoted`, without moving anything."""
    there, tag, digest = _place(name, reference, to, site)
    return there.digest_of(tag) == digest


def _place(name: str, reference: str, to: str, site: Site) -> tuple[Repository, str, str]:
    """(where, under which name, which digest)"""
    repository, _, tag = name.rpartition(":")
    there = remote.repository(promote.destination(to, repository, site), site)
    return there, tag, references.parse(reference).digest


def promoted(name: str, reference: str, to: str, site: Site) -> str:
    """there | moved | held: why not. `name`: the profile tag; `reference`: HOST/REPOSITORY@DIGEST.

    An image that somebody has taken back there is not sent again. Raises UsageError, Surroundings.
    """
    there, tag, digest = _place(name, reference, to, site)
    if there.digest_of(tag) == digest:
        return THERE
    moves = publish.history(there, tag)
    back = next((move for move in moves if move.back and move.was == digest), None)
    if back:
        return f"held: it was taken back there on {back.time[:10]}"
    try:
        done = promote.promote(reference, to, site, lambda *_: None)
    except NotProven as error:
        return f"held: {error.details[0] if error.details else error.message}"
    held = [outcome for outcome in done.outcomes if outcome.tag == tag and outcome.state == "kept"]
    return f"held: {held[0].why}" if held else "moved"
