"""Whether what was proven of an image is what a repository asks for (`[promote.NAME]` of the site).

Of each check the newest word counts, whoever said it; on a GPU, that of each model. A result that was taken over from
an earlier proof is as old as that proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from imagekit.compat.facts import Facts
from imagekit.report import Check, Report
from imagekit.site.model import Promotion

ON_GPUS = ("gpu", "multi-gpu")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Word = tuple[Check, datetime]
"""A result, and when it was had."""


def missing(policy: Promotion, reports: Sequence[Report], now: datetime, facts: Facts) -> list[str]:
    """What the policy asks for and the reports of an image do not have, a line each; empty when it is satisfied."""
    whole = [report for report in reports if not report.partial]
    if not whole:
        return ["there is no proof of the whole image"]
    found = []
    for report in sorted(whole, key=lambda one: one.time)[-1:]:
        if report.problem:
            found.append(f"the last proof of the whole image came to no end: {report.problem}")
    for stage in policy.stages:
        if stage not in ON_GPUS:
            found += _of_stage(stage, reports, policy, now)
        elif not policy.gpus:
            found += _of_stage(stage, [one for one in reports if _gpus(one)], policy, now, all_of=reports)
    for model in policy.gpus:
        here = [report for report in reports if any(_same(model, gpu, facts) for gpu in _gpus(report))]
        for stage in [stage for stage in policy.stages if stage in ON_GPUS] or ["gpu"]:
            found += [f"{line} on {model}" for line in _of_stage(stage, here, policy, now, all_of=reports)]
    return found


def _of_stage(
    stage: str, reports: Sequence[Report], policy: Promotion, now: datetime, all_of: Sequence[Report] = ()
) -> list[str]:
    """`all_of`: reports that know which checks the stage has; those are not run everywhere."""
    names = {check.name for report in (all_of or reports) for check in report.checks if check.stage == stage}
    words = _newest(stage, reports)
    bad = sorted(name for name, (check, _) in words.items() if check.bad)
    if bad:
        return [f"{stage}: {_some(bad)} did not pass"]
    passed = {name for name, (check, _) in words.items() if check.status == "PASS"}
    if not passed:
        return [f"{stage}: no check has passed"]
    unseen = sorted(names - words.keys())
    if unseen:
        return [f"{stage}: {_some(unseen)} was not run"]
    if policy.max_age:
        oldest = min(time for name, (_, time) in words.items() if name in passed)
        if now - oldest > _age(policy.max_age):
            return [f"{stage}: proven on {oldest.date()}, and {policy.max_age} is the most"]
    return []


def _newest(stage: str, reports: Sequence[Report]) -> dict[str, Word]:
    """By name of the check: its newest result. One that could not run where it was asked for says nothing."""
    found: dict[str, Word] = {}
    for report in sorted(reports, key=lambda one: one.time):
        for check in report.checks:
            if check.stage == stage and (check.status != "SKIP" or check.name not in found):
                found[check.name] = check, _time(check.proven or report.time)
    return found


def _age(text: str) -> timedelta:
    """12h, 7d, 2w, as the site's model has them."""
    return int(text[:-1]) * _UNITS[text[-1]]


def _time(text: str) -> datetime:
    """ISO, a day or a moment; in UTC. One that cannot be read is long ago."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _gpus(report: Report) -> list[str]:
    found = report.environment.get("gpus")
    return [str(name) for name in found] if isinstance(found, list) else []


def _same(model: str, name: str, facts: Facts) -> bool:
    """Whether a GPU is of a model: by the facts, which know the names that drivers give it."""
    wanted, here = facts.gpu(model), facts.gpu(name)
    return wanted == here if wanted and here else model.casefold() == name.casefold()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
