"""Old images of a repository: which of them nobody needs any more, and their removal.

What stays: whatever a moving name leads to, the newest of each profile tag, what was promoted, and names that are not
imagekit's. A manifest is removed with what is attached to it; when its blobs go is the registry's own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagekit import publish, remote, tag
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import cosign, referrers
from imagekit.oci import reference as references
from imagekit.oci.answers import Refused
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.site import Site


@dataclass(frozen=True)
class Old:
    """An image that nobody needs."""

    digest: str
    tags: tuple[str, ...]


def old(there: Repository, promoted: Sequence[Repository], keep: int) -> list[Old]:
    """Images of which `keep` newer ones have the same profile tag. `promoted`: where images of it may have gone.

    Newest by the day in the name, and of one day by when its names were put on record. Raises Surroundings.
    """
    names = [name for name in there.tags() if not publish.LIST.fullmatch(name)]
    # a name may outlast its image: docker-registry lists it still
    digests = {name: digest for name in names if (digest := there.digest_of(name))}
    stays = {digest for name, digest in digests.items() if not tag.IMMUTABLE.fullmatch(name)}
    by_stem: dict[str, list[tuple[str, str, int, str]]] = {}
    for name, digest in digests.items():
        if match := tag.IMMUTABLE.fullmatch(name):
            time = min((move.time for move in publish.moves_to(there, digest) if move.tag == name), default="")
            by_stem.setdefault(match["stem"], []).append((match["day"], time, int(match["number"] or 1), name))
    candidates = list[str]()
    for rows in by_stem.values():
        ordered = [name for *_, name in sorted(rows, reverse=True)]
        stays |= {digests[name] for name in ordered[:keep]}
        candidates += ordered[keep:]
    for name in candidates:
        if any(place.digest_of(digests[name]) for place in promoted):
            stays.add(digests[name])
    gone = dict.fromkeys(digests[name] for name in candidates if digests[name] not in stays)
    return [Old(one, tuple(name for name, digest in digests.items() if digest == one)) for one in gone]


def remove(there: Repository, one: Old) -> None:
    """An image with all that is attached to it. Raises Surroundings; then it may be there without some of that."""
    try:
        # a list of them, and the tag of a signature, may be written by anybody who may push
        attached = [
            row.digest for row in referrers.all_of(there, one.digest) if referrers.is_about(there, row, one.digest)
        ]
        signed = [signature for name in (*attached, one.digest) if (signature := cosign.signature(there, name))]
        listed = there.digest_of(one.digest.replace(":", "-"))
        for digest in dict.fromkeys([*signed, *attached, *([listed] if listed else []), one.digest]):
            there.delete(digest)
    except Refused as error:
        if error.status in (405, 501):
            raise _nothing(there) from None
        raise
    if there.digest_of(one.digest):  # ECR answers 404 and leaves it (fluxcd/pkg#328)
        raise _nothing(there)


def _nothing(there: Repository) -> Surroundings:
    hint = "storage.delete.enabled of docker-registry; ECR and GHCR have rules and an API of their own"
    return Surroundings(f"{there.wire.host} removes nothing", hint=hint)


def places(name: str, site: Site) -> tuple[Reference, list[Reference]]:
    """(a repository, those that images of it are promoted to). `name`: HOST/REPOSITORY, or empty for the site's own.

    Raises UsageError.
    """
    settings = site.settings
    repository = settings.tags.repository
    if not name and ("{" in repository or not settings.registry.push):
        raise UsageError("nobody says which repository", hint="HOST/REPOSITORY, or [registry] push of imagekit.toml")
    found = references.parse(name or f"{settings.registry.push}/{repository}")
    if found.tag or found.digest:
        raise UsageError(f"{name!r} is an image", hint="HOST/REPOSITORY")
    last = found.place.removeprefix(f"{settings.registry.push}/")
    last = last if last != found.place else found.repository.rpartition("/")[2]
    stems = [settings.registry.prod, *(one.repository for one in settings.promote.values())]
    others = {str(other): other for stem in stems if stem for other in [references.parse(f"{stem}/{last}")]}
    return found, [other for other in others.values() if other.place != found.place]


def prune(name: str, keep: int, site: Site, *, dry: bool) -> tuple[str, list[Old]]:
    """(the repository, what is removed from it; or would be). Raises UsageError, Surroundings."""
    place, others = places(name, site)
    there = remote.repository(place, site)
    found = old(there, [remote.repository(other, site) for other in others], keep)
    for one in [] if dry else found:
        remove(there, one)
    return place.place, found
