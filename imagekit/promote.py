"""An image into another repository, when what was proven of it is what that asks for; and the way back.

Nothing is built again: the same bytes get there, with what is attached to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from imagekit import amounts, contract, policy, publish, remote, tag
from imagekit.compat import facts
from imagekit.errors import NotProven, Surroundings, UsageError
from imagekit.locking import Say
from imagekit.oci import copying
from imagekit.oci import reference as references
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.proof import attached, evidence
from imagekit.publish import Done, Move, Outcome
from imagekit.remote import Remote
from imagekit.report import Report
from imagekit.site import Site
from imagekit.site.model import Promotion
from imagekit.tag import Names

USUAL = Promotion(stages=["static", "cpu"])
"""What is asked for where the site says nothing."""


def promote(name: str, to: str, site: Site, say: Say) -> Done:
    """`name`: HOST/REPOSITORY with a tag or digest; `to`: NAME of `[promote.NAME]`, or prod.

    Raises NotProven with all that is missing, UsageError, Surroundings.
    """
    asked = references.parse(name)
    source = remote.repository(asked, site)
    digest, config = attached.names_of(source, asked.digest or asked.tag or "latest")
    image = Remote(str(asked), source, digest).image("")
    names = _names(source, asked, digest, image["Config"].get("Labels") or {}, site)
    place = destination(to, names.profile.rpartition(":")[0], site)
    if place.place == asked.place:
        raise UsageError(f"{asked.place} is where {to} is itself", hint="name an image of another repository")
    here = evidence.of(config, digest)
    reports = [kept.report for kept in (*attached.all_of(source, digest), *here)]
    _satisfied(f"{asked.place}@{digest[:19]}", to, _policy(to, site), reports)
    there = remote.repository(place, site)
    done = copying.copy(source, there, digest, without=[publish.HISTORY])
    say("copy", f"{amounts.size(done.bytes)} sent, {done.there + done.mounted} blobs there or taken over")
    word = publish.told(there, digest, here) if here else ""  # what only this machine knows
    if word:
        say("", word)
    settled = publish.settle(there, digest, names, datetime.now(timezone.utc), instead=False)
    publish.say(place, settled.outcomes, say)
    return Done(f"{place}@{settled.digest}", settled.outcomes)


def rollback(to: str, repository: str, tags: Sequence[str], digest: str, site: Site, say: Say) -> Done:
    """Names back to the image that they led to before, or to the one of `digest`; never to one without its proof.

    `repository`: the last part, as pytorch; `tags`: the names, or none for all that the last promotion moved.
    Raises UsageError, NotProven, Surroundings.
    """
    if "{" in repository:
        raise UsageError("each profile has a repository of its own", hint="--repository NAME")
    if digest and not references.DIGEST.fullmatch(digest):
        raise UsageError(f"--to {digest!r} is no digest", hint="sha256: and 64 hexadecimal digits")
    place = destination(to, repository, site)
    there = remote.repository(place, site)
    wanted = _wanted(there, list(tags))
    if not wanted:
        raise UsageError(f"no name at {place} has a move on record", hint="--tag TAG --to DIGEST")
    # the proof may be older than what is asked of a new one: it was in use
    ageless = _policy(to, site).model_copy(update={"max_age": ""})
    if digest:
        _satisfied(f"{place}@{digest[:19]}", to, ageless, _reports(there, digest))
    goals: dict[str, dict[str, str]] = {}
    for name, moves in wanted.items():
        now = there.digest_of(name)
        goal = digest or _good(there, name, now, moves, ageless)
        theirs, ours = publish.identity(there, goal), publish.identity(there, now)
        if theirs != ours:
            raise UsageError(f"{name} is a name of {ours}, and {goal[:19]} is an image of {theirs}")
        goals.setdefault(goal, {})[name] = now
    outcomes: list[Outcome] = []
    for goal, before in goals.items():
        outcomes += publish.move(there, before, goal, datetime.now(timezone.utc), back=True)
    publish.say(place, outcomes, say)
    if all(outcome.state == "kept" for outcome in outcomes):
        raise Surroundings(f"{there.wire.host} holds every name where it is", hint="its rules for immutable tags")
    return Done(f"{place}@{next(iter(goals))}", tuple(outcomes))


def _wanted(there: Repository, tags: list[str]) -> dict[str, list[Move]]:
    """Name -> its moves, newest first: of the given names, else of those that the newest move of all has moved."""
    for name in tags:
        if not references.TAG.fullmatch(name) or not there.digest_of(name):
            raise UsageError(f"{there.wire.host}/{there.name} has no {name}")
        if tag.IMMUTABLE.fullmatch(name):
            raise UsageError(f"{name} never moves", hint="a name without a date goes back")
    found = {name: publish.history(there, name) for name in tags or _moving(there)}
    if tags:
        return found
    found = {name: moves for name, moves in found.items() if moves}
    newest = max((moves[0].time for moves in found.values()), default="")
    return {name: moves for name, moves in found.items() if moves[0].time == newest}


def _moving(there: Repository) -> list[str]:
    return [name for name in there.tags() if not (tag.IMMUTABLE.fullmatch(name) or publish.LIST.fullmatch(name))]


def _good(there: Repository, name: str, now: str, moves: Sequence[Move], asks: Promotion) -> str:
    """The newest image before, that was not itself taken back, is still there and has its proof."""
    bad = {move.was for move in moves if move.back}
    before = [move.was for move in moves if move.was and move.was != now and move.was not in bad]
    lacking = list[str]()
    for digest in dict.fromkeys(before):
        try:
            lacks = policy.missing(asks, _reports(there, digest), _now(), facts.load())
        except UsageError as error:  # somebody has removed it
            lacks = [error.message]
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


def _reports(there: Repository, digest: str) -> list[Report]:
    """What is attached to an image, and what this machine has seen of it. Raises UsageError where there is none."""
    here = evidence.of(*attached.names_of(there, digest))
    return [kept.report for kept in (*attached.all_of(there, digest), *here)]


def _names(source: Repository, asked: Reference, digest: str, labels: Mapping[str, object], site: Site) -> Names:
    """By what the image tells, and the name that never moves: on record, or as it was asked for."""
    names = tag.of_labels(str(asked), contract.told(labels), site.settings.tags, "0" * 7, "0" * 8)
    repository, _, moving = names.profile.rpartition(":")
    known = [move.tag for move in publish.moves_to(source, digest)] + [asked.tag]
    for name in known:
        if tag.IMMUTABLE.fullmatch(name) and name.startswith(f"{moving}-") and source.digest_of(name) == digest:
            return replace(names, immutable=f"{repository}:{name}")
    raise UsageError(f"nothing says which name of {asked} never moves", hint="name the image by that tag")


def _policy(to: str, site: Site) -> Promotion:
    """Of a section that says nothing of stages: the usual ones, and what else it says."""
    found = site.settings.promote.get(to)
    if found is None and to != "prod":
        known = ", ".join(sorted({"prod", *site.settings.promote}))
        raise UsageError(f"the site has no [promote.{to}]", hint=f"there is {known}")
    if found is None:
        return USUAL
    return found if found.stages else found.model_copy(update={"stages": USUAL.stages})


def destination(to: str, repository: str, site: Site) -> Reference:
    stem = _policy(to, site).repository or (site.settings.registry.prod if to == "prod" else "")
    if not stem:
        missing = "[registry] prod" if to == "prod" else f"[promote.{to}] repository"
        raise UsageError(f"nobody says where {to} is", hint=f"{missing} of imagekit.toml")
    return references.parse(f"{stem}/{repository}")


def _now() -> datetime:
    return datetime.now(timezone.utc)
