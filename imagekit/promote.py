"""An image into another repository, when what was proven of it is what that asks for; and the way back.

Nothing is built again: the same bytes get there, with what is attached to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from imagekit import amounts, policy, publish, remote, tag
from imagekit.compat import facts
from imagekit.errors import NotProven, UsageError
from imagekit.locking import Say
from imagekit.oci import copying
from imagekit.oci import reference as references
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.proof import attached, evidence
from imagekit.publish import Move, Outcome
from imagekit.report import Report
from imagekit.site import Site
from imagekit.site.model import Promotion
from imagekit.tag import Names

IMMUTABLE = re.compile(r".+-\d{8}-[0-9a-f]{7}(\.\d+)?")
"""A name that never moves (docs/tags.md)."""

USUAL = Promotion(stages=["static", "cpu"])
"""What is asked for where the site says nothing."""


@dataclass(frozen=True)
class Done:
    reference: str
    """HOST/REPOSITORY@DIGEST."""
    outcomes: tuple[Outcome, ...]


def promote(name: str, to: str, site: Site, say: Say) -> Done:
    """`name`: HOST/REPOSITORY with a tag or digest; `to`: NAME of `[promote.NAME]`, or prod.

    Raises NotProven with all that is missing, UsageError, Surroundings.
    """
    asked = references.parse(name)
    labels = remote.find(f"{remote.REGISTRY}{asked}", site).image("")["Config"].get("Labels") or {}
    source = remote.repository(asked, site)
    digest, config = attached.names_of(source, asked.digest or asked.tag or "latest")
    names = _names(source, asked, digest, labels, site)
    place = _place(to, names.profile.rpartition(":")[0], site)
    if place.place == asked.place:
        raise UsageError(f"{asked.place} is where {to} is itself", hint="name an image of another repository")
    _satisfied(f"{asked.place}@{digest[:19]}", to, _policy(to, site), _reports(source, digest, config))
    there = remote.repository(place, site)
    done = copying.copy(source, there, digest, without=[publish.HISTORY])
    say("copy", f"{amounts.size(done.bytes)} sent, {done.there + done.mounted} blobs there or taken over")
    settled = publish.settle(there, digest, names, datetime.now(timezone.utc))
    for outcome in settled.outcomes:
        say("tag" if outcome is settled.outcomes[0] else "", f"{place}:{outcome}")
    return Done(f"{place}@{settled.digest}", settled.outcomes)


def rollback(to: str, repository: str, tags: Sequence[str], digest: str, site: Site, say: Say) -> Done:
    """Names back to the image that they led to before, or to the one of `digest`; never to one without its proof.

    `repository`: the last part, as pytorch; `tags`: the names, or none for all that the last promotion moved.
    Raises UsageError, NotProven, Surroundings.
    """
    if "{" in repository:
        raise UsageError("each profile has a repository of its own", hint="--repository NAME")
    place = _place(to, repository, site)
    there = remote.repository(place, site)
    wanted = _wanted(there, list(tags))
    if not wanted:
        raise UsageError(f"no name at {place} has a move on record", hint="--tag TAG --to DIGEST")
    # the proof may be older than what is asked of a new one: it was in use
    ageless = _policy(to, site).model_copy(update={"max_age": ""})
    goals: dict[str, list[str]] = {}
    for name, moves in wanted.items():
        goal = digest or _good(there, name, moves, ageless)
        if digest:
            _satisfied(f"{place}@{digest[:19]}", to, ageless, _reports(there, *attached.names_of(there, digest)))
        goals.setdefault(goal, []).append(name)
    outcomes: list[Outcome] = []
    for goal, names in goals.items():
        outcomes += publish.move(there, names, goal, datetime.now(timezone.utc), back=True)
    for outcome in outcomes:
        say("tag" if outcome is outcomes[0] else "", f"{place}:{outcome}")
    return Done(f"{place}@{next(iter(goals))}", tuple(outcomes))


def _wanted(there: Repository, tags: list[str]) -> dict[str, list[Move]]:
    """Name -> its moves, newest first: of the given names, else of those that the newest move of all has moved."""
    found = {name: publish.history(there, name) for name in tags or _moving(there)}
    for name in tags:
        if not there.digest_of(name):
            raise UsageError(f"{there.wire.host}/{there.name} has no {name}")
    if tags:
        return found
    found = {name: moves for name, moves in found.items() if moves}
    newest = max((moves[0].time for moves in found.values()), default="")
    return {name: moves for name, moves in found.items() if moves[0].time == newest}


def _moving(there: Repository) -> list[str]:
    return [name for name in there.tags() if not IMMUTABLE.fullmatch(name) and not name.startswith("sha256-")]


def _good(there: Repository, name: str, moves: Sequence[Move], asks: Promotion) -> str:
    """The newest image before, that was not itself taken back and has its proof."""
    now, bad = there.digest_of(name), {move.was for move in moves if move.back}
    before = [move.was for move in moves if move.was and move.was != now and move.was not in bad]
    lacking = list[str]()
    for digest in dict.fromkeys(before):
        lacks = policy.missing(asks, _reports(there, *attached.names_of(there, digest)), _now(), facts.load())
        if not lacks:
            return digest
        lacking.append(f"{digest[:19]}: {lacks[0]}")
    raise NotProven(
        f"there is no image before that {name} could go back to", details=lacking, hint="--to DIGEST names one"
    )


def _satisfied(image: str, to: str, asks: Promotion, reports: Sequence[Report]) -> None:
    lacks = policy.missing(asks, reports, _now(), facts.load())
    if lacks:
        raise NotProven(
            f"{image} has not proven what {to} asks for", details=lacks,
            hint="imagekit test IMAGE where that can be had, then imagekit evidence IMAGE --to registry:REFERENCE",
        )  # fmt: skip


def _reports(there: Repository, digest: str, config: str) -> list[Report]:
    """What is attached to an image, and what this machine has seen of it."""
    here = [*evidence.find(config), *evidence.find(digest)]
    return [kept.report for kept in (*attached.all_of(there, digest), *here)]


def _names(source: Repository, asked: Reference, digest: str, labels: Mapping[str, str], site: Site) -> Names:
    own = {key.removeprefix("io.imagekit."): text for key, text in labels.items() if key.startswith("io.imagekit.")}
    if not {"profile", "torch"} <= own.keys():
        raise UsageError(f"{asked} was not built by imagekit", hint="skopeo copy moves any image")
    known = [move.tag for move in publish.moves_to(source, digest)] + [asked.tag]
    immutable = next((name for name in known if IMMUTABLE.fullmatch(name)), "")
    if not immutable:
        raise UsageError(f"nothing says which name of {asked} never moves", hint="name the image by that tag")
    names = tag.of_labels(own, site.settings.tags, "0" * 7, "0" * 8)
    return replace(names, immutable=f"{names.profile.rpartition(':')[0]}:{immutable}")


def _policy(to: str, site: Site) -> Promotion:
    found = site.settings.promote.get(to)
    if found is None and to != "prod":
        known = ", ".join(sorted({"prod", *site.settings.promote}))
        raise UsageError(f"the site has no [promote.{to}]", hint=f"there is {known}")
    return found or USUAL


def _place(to: str, repository: str, site: Site) -> Reference:
    stem = _policy(to, site).repository or (site.settings.registry.prod if to == "prod" else "")
    if not stem:
        missing = "[registry] prod" if to == "prod" else f"[promote.{to}] repository"
        raise UsageError(f"nobody says where {to} is", hint=f"{missing} of imagekit.toml")
    return references.parse(f"{stem}/{repository}")


def _now() -> datetime:
    return datetime.now(timezone.utc)
