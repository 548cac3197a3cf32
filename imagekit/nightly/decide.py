"""cell -> decision: why its image is made again or not, and the lock that it is to be made from.

Nothing is written here: neither a lock nor anything in a registry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from imagekit import composed, locking, pipeline, publish, remote, tag
from imagekit.cells import judged
from imagekit.cells.document import Night
from imagekit.cells.judged import Judged
from imagekit.errors import Error, Surroundings
from imagekit.lock.model import Lock, read, stale
from imagekit.locking import LockOptions
from imagekit.nightly import runners
from imagekit.nightly.before import Before, at, before
from imagekit.nightly.outside import Outside, look
from imagekit.nightly.reasons import PROOF, Reason, reasons
from imagekit.site import Site

BUILD, PROVE, NOTHING = "build", "prove", "nothing"


@dataclass(frozen=True)
class Decision:
    cell: Judged
    before: Before | None = None
    lock: Lock | None = None
    reasons: tuple[Reason, ...] = ()
    on: tuple[str, ...] = ()
    """Runners that will be asked, when it is good."""
    unknown: str = ""
    """What could not be asked for it."""
    error: Error | None = None
    """Why nothing can be decided."""

    @property
    def action(self) -> str:
        """build | prove | nothing"""
        if not self.reasons:
            return NOTHING
        return PROVE if all(reason.kind == PROOF for reason in self.reasons) else BUILD

    @property
    def newest(self) -> bool:
        """Whether the distribution packages of this moment are wanted, and not those of a few hours ago."""
        return any(reason.kind in ("security", "system") for reason in self.reasons)


def as_they_are(cells: Sequence[Judged], site: Site) -> list[Decision]:
    """Nothing is asked but what the registry has, and nothing is made."""
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as threads:
        return list(threads.map(lambda cell: _there(Decision(cell), site), [cell for cell in cells if cell.tag]))


def decide(cells: Sequence[Judged], night: Night, site: Site, now: datetime) -> tuple[list[Decision], tuple[str, ...]]:
    """(a decision for each cell that can be had; what could not be asked). What is wrong with one is its own matter.

    Raises UsageError where the site names no registry.
    """
    begun = [Decision(cell) for cell in cells if cell.tag]
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as threads:
        begun = list(threads.map(lambda one: _begun(one, night, site), begun))
        outside = look([lock for one in begun if (lock := _known(one))], site)
        done = list(threads.map(lambda one: _decided(one, outside, night, site, now), begun))
    stood_on = {one.lock.resolution.base.name for one in done if one.lock and outside.base(one.lock)}
    unseen = [f"{name} is another image now, and nobody here can say what it has" for name in sorted(stood_on)]
    return done, (*outside.unknown, *unseen, *(one.unknown for one in done if one.unknown))


def _there(one: Decision, site: Site) -> Decision:
    try:
        return replace(one, before=before(one.cell.tag, site))
    except Surroundings as error:
        return replace(one, error=error)


def _begun(one: Decision, night: Night, site: Site) -> Decision:
    """With what is there, and the lock to start from, if there is one."""
    found = _there(one, site)
    try:
        return replace(found, lock=_start(found, night)) if found.before else found
    except Error as error:  # of a lock that cannot be read
        return replace(found, error=error)


def _start(one: Decision, night: Night) -> Lock | None:
    """The lock in the user's folder and the image's own, as far as they answer what is asked: the newer of them, and
    without updates the first. One that does not answer is what the next one starts from."""
    assert one.cell.profile and one.cell.resolution and one.before
    path = locking.path_of(one.cell.profile, one.cell.resolution)
    here = read(path) if path.is_file() else None
    there = one.before.made.lock if one.before.made else None
    fits = [lock for lock in (here, there) if lock and not stale(lock, one.cell.resolution)]
    if not night.updates and here in fits:
        return here
    return max(fits, key=lambda lock: lock.created) if fits else here or there


def _known(one: Decision) -> Lock | None:
    """The lock whose files and packages are looked for: of the image that is there, else of the next one."""
    return (one.before.made.lock if one.before and one.before.made else None) or one.lock


def _decided(one: Decision, outside: Outside, night: Night, site: Site, now: datetime) -> Decision:
    if one.error or one.before is None:
        return one
    try:
        cell, lock, unknown = _renewed(one, outside, night, site)
        assert cell.profile
        parts = composed.parts(pipeline.rendered(cell.profile, lock, dialect="classic").plan)
        why = reasons(one.before, lock, parts, outside, night, now)
        if one.before.digest and one.before.made is None:
            _is_ours(one.before, site)
        made = any(reason.kind != PROOF for reason in why)
        if made and one.before.digest:
            _does_move(one.before, lambda there: reasons(there, lock, parts, outside, night, now), site)
    except Error as error:
        return replace(one, error=error)
    on = night.runners if made else runners.asked(one.before, night, now)
    return replace(one, cell=cell, lock=lock, reasons=tuple(why), on=on, unknown=unknown)


def _is_ours(there: Before, site: Site) -> None:
    """A name that leads to an image of something else would stay where it is, and the image be made every night."""
    own = publish.identity(remote.repository(there.place, site), there.digest)
    if own.profile and there.tag.startswith(f"{own.torch}-cuda{own.cuda}-{own.profile}"):
        return
    raise Surroundings(
        f"{there.place}:{there.tag} is an image of {own}", hint="remove that name, or push somewhere else"
    )


def _does_move(there: Before, why: Callable[[Before], Sequence[Reason]], site: Site) -> None:
    """A name that stays where it is, while the image that it should lead to is there, would have it made every night.

    `why`: what is a reason to make an image again.
    """
    names = [match for name in remote.repository(there.place, site).tags() if (match := tag.IMMUTABLE.fullmatch(name))]
    own = [match for match in names if match["stem"] == there.tag]
    day = max((match["day"] for match in own), default="")
    for name in [match[0] for match in own if match["day"] == day]:
        other = at(there.place, name, site)
        if other.digest != there.digest and other.made and all(reason.kind == PROOF for reason in why(other)):
            raise Surroundings(
                f"{there.place}:{there.tag} stays where it is, and {name} is there: the registry or its rules hold the "
                "name, or somebody put it back", hint=f"imagekit publish registry:{there.place}:{name}",
            )  # fmt: skip


def _renewed(one: Decision, outside: Outside, night: Night, site: Site) -> tuple[Judged, Lock, str]:
    """(the cell, the lock that its next image would be made from, what could not be asked)."""
    cell, old = one.cell, one.lock
    assert cell.profile and cell.resolution
    if old and outside.base(old):  # the image below is another one now: it is asked what it is
        its_profile, resolution = judged.resolved(cell.cell, site, upgrade=True)
        if resolution.base.digest:
            cell = replace(cell, profile=its_profile, resolution=resolution)
    assert cell.profile and cell.resolution
    if cell.resolution.base.kind == "image" and not cell.resolution.base.digest:
        name = cell.resolution.base.name
        raise Surroundings(
            f"nobody here can say what {name} is",
            hint="an engine or its registry tells; or commit its lock",
        )
    is_stale = not old or bool(stale(old, cell.resolution))
    gone = () if night.updates or not old else tuple(outside.gone(old))
    if old and not (night.updates or is_stale or gone):
        return cell, old, ""
    options = LockOptions(upgrade=night.updates, upgrade_packages=gone)
    try:
        new = locking.renewed(cell.profile, cell.resolution, site, lambda *_: None, old, options)
    except Surroundings as error:
        if old is None or is_stale:
            raise
        return cell, old, f"newer releases for {cell.tag}: {error.message}"
    there = one.before.made.lock if one.before and one.before.made else None
    for known in (there, old):  # but for its day, and what was said of it
        if known and not stale(known, cell.resolution) and _contents(known) == _contents(new):
            return cell, known, ""
    return cell, new, ""


def _contents(lock: Lock) -> tuple[object, ...]:
    """What gets into an image, or makes it; not what was said of it, and not the uv that puts it there."""
    return lock.packages, lock.hidden, lock.build_requires
