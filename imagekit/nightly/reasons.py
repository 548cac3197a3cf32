"""Why an image is made again, or proven again, or left as it is. Nothing is asked here: what is known decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from imagekit import policy, record
from imagekit.cells.document import Night
from imagekit.compat import facts
from imagekit.lock.model import Lock
from imagekit.nightly.before import Before
from imagekit.nightly.outside import Outside
from imagekit.promote import USUAL
from imagekit.report import Report, some

PROOF = "proof"
"""The kind of a reason that asks for a proof and for no other image."""

PARTS = {
    "system": "another base, or other distribution packages are asked for",
    "wheel": "packages are installed in another way",
    "files": "its own files, or those that imagekit puts in",
    "steps": "the steps of an overlay",
    "config": "its environment, labels or features",
    "layers": "imagekit makes layers in another way",
}
"""Part of a plan (Plan.parts) -> what is another one."""


@dataclass(frozen=True)
class Reason:
    kind: str
    """new | record | packages | gone | plan | security | system | base | proof"""
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def reasons(
    before: Before, lock: Lock, parts: Mapping[str, str], outside: Outside, night: Night, now: datetime
) -> list[Reason]:
    """All of them, the first being the strongest; none where there is nothing to do.

    `lock`: what the image would be made from; `parts`: as composed.parts has them.
    """
    if not before.digest:
        return [Reason("new", "there is no such image yet")]
    if before.made is None:
        return [Reason("record", before.lacks or "nothing says what the image there was made from")]
    old = before.made.record
    found = _system(outside, lock, old.system)
    moved = record.changes(old.packages, {package.name: package.version for package in lock.packages})
    gone = outside.gone(before.made.lock) if before.made.lock else {}
    left = [f"{name} was {how}" for name, how in gone.items() if any(line.startswith(f"{name} ") for line in moved)]
    found += [Reason("gone", some(left))] if left else []
    found += [Reason("packages", some(moved))] if moved else []
    found += _plan(old, lock, parts, bool(moved))
    base = outside.base(before.made.lock) if before.made.lock else ""
    if base and base == lock.resolution.base.digest:
        found.append(Reason("base", f"{lock.resolution.base.name} is {base[:19]} now"))
    return found + _proof(before, night, now)


def _plan(old: record.Record, lock: Lock, parts: Mapping[str, str], moved: bool) -> list[Reason]:
    """`moved`: whether other versions are installed, which is told already."""
    differ = [name for name in parts if old.parts.get(name) != parts[name]]
    # the lock is a file of its image, and goes with whatever it says
    told = [name for name in differ if name != "files" and not (name == "wheel" and moved)]
    if differ == ["files"]:
        text = PARTS["files"] if old.lock == lock.digest else "what is asked for, with the same packages"
        return [Reason("plan", text)]
    return [Reason("plan", PARTS[name]) for name in told]


def _system(outside: Outside, lock: Lock, system: Mapping[str, str]) -> list[Reason]:
    drift = outside.drift(lock, system)
    security = [f"{name} {system[name]} -> {row.version}" for name, row in drift.items() if row.security]
    other = [f"{name} {system[name]} -> {row.version}" for name, row in drift.items() if not row.security]
    return [Reason(kind, some(rows)) for kind, rows in (("security", security), ("system", other)) if rows]


def _proof(before: Before, night: Night, now: datetime) -> list[Reason]:
    """What a proof here would mend: its own stages, and what an engine is to say. A GPU that failed is not among it."""
    asked = USUAL.model_copy(update={"max_age": night.proven_within or ""})
    own = [_of_stages(report, asked.stages) for report in before.reports if not report.partial]
    lacks = policy.missing(asked, own, now, facts.load())
    if lacks:
        return [Reason(PROOF, lacks[0])]
    if night.engine and before.verdict is None:
        return [Reason(PROOF, "no engine has proven it")]
    if night.bench and before.verdict and not before.verdict.measured:
        return [Reason(PROOF, "it was not measured")]
    return []


def _of_stages(report: Report, stages: Sequence[str]) -> Report:
    return replace(report, checks=tuple(check for check in report.checks if check.stage in stages))
