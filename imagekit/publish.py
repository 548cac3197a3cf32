"""The names of an image in a registry: the one that never moves, then those that do, as far as they are its own.

    before               the image is there by its digest, and what was proven of it is attached to it
    the immutable name   is written once; other bytes get .2 after it, or what is there is the result if it is proven
    the moving names     of an image of something else stay where they are, and it is said whose they are
    the history          of a name is attached to the image that it moved to (OCI referrers): where it was before

A registry may hold names itself (Harbor's and ECR's immutable tags): what it refuses to move stays, and that is said.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from imagekit import contract
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.reference import DIGEST, TAG, Reference
from imagekit.oci.registry import Repository
from imagekit.proof import attached, evidence
from imagekit.remote import Remote
from imagekit.tag import Names

HISTORY = "application/vnd.imagekit.tag.v1+json"
"""Artifact type of a record that names have moved."""

NAMES, TIME = "io.imagekit.names", "org.opencontainers.image.created"
"""Annotations of it: a JSON object of names -> digest that each had before, empty for a new one; when (ISO, UTC)."""

LIST = re.compile(r"sha256-[0-9a-f]{64}.*")
"""A tag that is a list of referrers, or a signature of older kinds."""

BACK = "io.imagekit.back"
"""One more, where a move took another back."""

MOST = 100
"""Images that a name was at, as far back as anybody looks."""

REPORTS = 10
"""Reports that go with an image, the newest: bad ones too."""

TAKES_NONE = (400, 404, 405, 415)
"""How registries answer that know images and nothing else."""

HELD = (400, 403, 405, 409, 412)
"""How registries refuse to move a name that they hold: Harbor with 412 (goharbor/harbor#9427), ECR as a tag that is
invalid (moby/buildkit#3776), others as it pleases them. The name then leads where it led."""


@dataclass(frozen=True)
class Identity:
    """Whose an image is, by its labels: images that differ in one of these are not versions of each other."""

    profile: str = ""
    torch: str = ""
    cuda: str = ""
    suffix: str = ""
    overlays: str = ""

    def __str__(self) -> str:
        name = "-".join([self.profile, *self.suffix.split(), *self.overlays.split()])
        return f"{name}, torch {self.torch}, CUDA {self.cuda}" if self.profile else "nobody that imagekit knows"


@dataclass(frozen=True)
class Outcome:
    """What became of one name."""

    tag: str
    state: str
    """new | moved | same | kept"""
    was: str = ""
    """Digest before, where there was one."""
    why: str = ""
    """Of one that was kept, or that has no record."""

    def __str__(self) -> str:
        told = {"moved": f"moved; was {self.was[:19]}", "kept": "stays"}.get(self.state, self.state)
        return f"{self.tag}  {told}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Settled:
    digest: str
    """Of the manifest that the names lead to; another one than was pushed where that was there and proven."""
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Done:
    """What publishing, promoting and taking back come to."""

    reference: str
    """HOST/REPOSITORY@DIGEST."""
    outcomes: tuple[Outcome, ...]


def say(place: Reference, outcomes: Sequence[Outcome], line: Callable[[str, str], None]) -> None:
    """A line for each name."""
    for number, outcome in enumerate(outcomes):
        line("" if number else "tag", f"{place.place}:{outcome}")


def settle(there: Repository, digest: str, names: Names, now: datetime, *, instead: bool = True) -> Settled:
    """Give the image of a digest its names. Raises Surroundings; then each name leads where it led, or to the image.

    Everything that the manifest needs is there: the registry has taken it by its digest. `instead`: another image of
    the same plan, which has the immutable name and is proven, is the result.

    Nobody can hold a name while he looks at it: of two who come at the same moment the later one has it.
    """
    name, taken = _immutable(there, digest, names, instead)
    before = {tag: there.digest_of(tag) for tag in map(_tag, names.moving)}
    mine = identity(there, taken) if set(before.values()) - {"", taken} else Identity()
    kept = list[Outcome]()
    for tag, was in before.items():
        owner = identity(there, was) if was not in ("", taken) else mine
        if owner != mine:
            kept.append(Outcome(tag, "kept", was, f"it is an image of {owner}"))
    free = {tag: was for tag, was in before.items() if tag not in {one.tag for one in kept}}
    # also when it was broken off between the name and its record, or when an engine has written it
    also = [] if name.tag in {one.tag for one in moves_to(there, taken)} else [name.tag]
    return Settled(taken, (name, *kept, *move(there, free, taken, now, also=also)))


def move(
    there: Repository, before: Mapping[str, str], digest: str, now: datetime, *, also: Sequence[str] = (),
    back: bool = False,
) -> list[Outcome]:  # fmt: skip
    """Names to an image that is there, with a line of history first: a move without one could not be taken back.

    `before`: name -> digest that it leads to; `also`: names that the image has got before, for the record; `back`:
    other moves are taken back. Raises Surroundings.
    """
    content, kind = there.manifest(digest)
    moving = {tag: was for tag, was in before.items() if was != digest}
    note = _noted(there, digest, {**dict.fromkeys(also, ""), **moving}, now, back) if moving or also else ""
    found = []
    for tag, was in before.items():
        held = _put(there, tag, digest, content, kind) if tag in moving else ""
        state = "kept" if held else "same" if tag not in moving else "moved" if was else "new"
        found.append(Outcome(tag, state, was, held or note))
    return found


def _noted(there: Repository, digest: str, moves: Mapping[str, str], now: datetime, back: bool) -> str:
    """Put moves on record; a word where a registry takes no such thing."""
    row = {
        NAMES: json.dumps(moves, sort_keys=True),
        TIME: now.astimezone(timezone.utc).isoformat(timespec="microseconds"),
    }
    row |= {BACK: "true"} if back else {}
    try:
        referrers.attach(there, digest, HISTORY, json.dumps(row, sort_keys=True).encode(), row)
    except Refused as error:
        if error.status not in TAKES_NONE:
            raise
        return f"without a record: {there.wire.host} takes none ({error.status})"
    return ""


def place_for(there: Repository, names: Names, same: Callable[[str], bool], instead: bool = True) -> tuple[str, str]:
    """The immutable name of an image, and the digest that has it: its own, or of one of the same plan that is proven.

    Empty where the name is free. `same`: whether a digest is that of the image.
    """
    tag = _tag(names.immutable)
    for number in itertools.count(1):
        name = tag if number == 1 else f"{tag}.{number}"
        digest = there.digest_of(name)
        if not digest or same(digest) or (instead and _proven(there, digest)):
            return name, digest
    raise AssertionError


def _immutable(there: Repository, digest: str, names: Names, instead: bool) -> tuple[Outcome, str]:
    """(what became of it, the digest that it leads to)."""
    content, kind = there.manifest(digest)
    while True:
        name, taken = place_for(there, names, lambda other: other == digest, instead)
        if taken:
            return Outcome(name, "same"), taken
        if not _put(there, name, digest, content, kind):  # else somebody has taken it just now
            return Outcome(name, "new"), digest


def _put(there: Repository, tag: str, digest: str, content: bytes, kind: str) -> str:
    """Why the registry holds the name; empty when it has moved. Raises Surroundings."""
    try:
        there.put_manifest(tag, content, kind)
    except Refused as error:
        now = there.digest_of(tag) if error.status in HELD else ""
        if now == digest:  # a reply was lost and it was written twice, or another machine has written the same
            return ""
        if now:
            return "the registry holds it where it is"
        raise
    if there.digest_of(tag) != digest:
        raise Surroundings(f"the tag {tag} at {there.wire.host} is another image", hint="somebody else moved it?")
    return ""


def _proven(there: Repository, digest: str) -> bool:
    try:
        return evidence.good(attached.all_of(there, digest))
    except UsageError:  # no image
        return False


def identity(there: Repository, digest: str) -> Identity:
    """Of an image without imagekit's labels, or that cannot be read: nobody's that we know."""
    try:
        labels: Mapping[str, object] = Remote(there.name, there, digest).image("")["Config"].get("Labels") or {}
    except UsageError:  # none for this CPU, or none at all
        return Identity()
    own = contract.told(labels)
    return Identity(*(own.get(name, "") for name in ("profile", "torch", "cuda", "suffix", "overlays")))


def _tag(name: str) -> str:
    return name.rpartition(":")[2]


@dataclass(frozen=True)
class Move:
    """Of one name, one time."""

    tag: str
    digest: str
    """Where it was moved to."""
    was: str
    """Empty for a new name."""
    time: str
    back: bool
    """Whether another move was taken back: `was` is an image that somebody did not want."""


def moves_to(there: Repository, digest: str) -> list[Move]:
    """The moves of names to an image. What cannot be read is passed over: anybody who may push can attach something."""
    found = []
    for one in referrers.of(there, digest, HISTORY):
        row = one.annotations
        try:
            names = dict(json.loads(row.get(NAMES, "")))
        except (ValueError, TypeError, RecursionError):
            continue
        found += [
            Move(tag, digest, was, row.get(TIME, ""), BACK in row)
            for tag, was in names.items()
            if isinstance(was, str) and TAG.fullmatch(tag) and (not was or DIGEST.fullmatch(was))
        ]
    return found


def history(there: Repository, tag: str) -> list[Move]:
    """The moves of a name, newest first, as far as they are on record.

    From where it leads now, each to where it was before: clocks of several machines decide nothing, but between two
    moves to the same image.
    """
    found, left, digest = list[Move](), dict[str, list[Move]](), there.digest_of(tag)
    while digest and len(found) < MOST:
        if digest not in left:
            moves = [move for move in moves_to(there, digest) if move.tag == tag]
            left[digest] = sorted(moves, key=lambda move: move.time)
        if not left[digest]:
            break
        found.append(left[digest].pop())
        digest = found[-1].was
    return found


def told(there: Repository, digest: str, found: Sequence[evidence.Kept]) -> str:
    """Attach what was proven of an image, before it gets names; a word where a registry takes no such thing."""
    try:
        new = attached.send(there, digest, found[:REPORTS])
    except Refused as error:
        if error.status not in TAKES_NONE:
            raise
        return f"{there.wire.host} takes nothing that belongs to an image ({error.status})"
    return f"{new} report{'s' if new != 1 else ''} attached" if new else ""
