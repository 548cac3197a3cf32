"""Whether what was proven of an image is what a repository asks for (`[promote.NAME]` of the site).

Of each check the newest word counts, whoever said it; on a GPU, that of each model. A result that was taken over from
an earlier proof is as old as that proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from imagekit.compat.facts import Facts
from imagekit.report import ON_GPUS, Check, Report, failing, some
from imagekit.site.model import Promotion

AHEAD = timedelta(minutes=10)
"""How far another machine's clock may be ahead; a report of a later time says nothing."""

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

Word = tuple[Check, datetime]
"""A result, and when it was had."""


def missing(policy: Promotion, reports: Sequence[Report], now: datetime, facts: Facts) -> list[str]:
    """What the policy asks for and the reports of an image do not have, a line each; empty when it is satisfied.

    What has failed last is missing too, whether its stage is asked for or not. `reports`: all of this very image.
    """
    read = sorted((one for one in reports if time_of(one.time) <= now + AHEAD), key=lambda one: time_of(one.time))
    if all(report.partial for report in read):
        return ["there is no proof of the whole image"]
    found = failing(read[::-1])
    for stage in policy.stages:
        if stage not in ON_GPUS:
            found += _of_stage(stage, read, read, policy, now)
        elif not policy.gpus:
            found += _of_stage(stage, [one for one in read if _gpus(one)], read, policy, now)
    for model in policy.gpus:
        here = [one for one in read if _model(one, facts) == _known(model, facts)]
        for stage in [stage for stage in policy.stages if stage in ON_GPUS] or ["gpu"]:
            found += [f"{line} on {model}" for line in _of_stage(stage, here, read, policy, now)]
    return found


def _of_stage(
    stage: str, here: Sequence[Report], everywhere: Sequence[Report], policy: Promotion, now: datetime
) -> list[str]:
    """`here`: reports of the machines in question; `everywhere`: all, which know what the stage has."""
    words, all_words = _newest(stage, here), _newest(stage, everywhere)
    if any(check.bad for check, _ in words.values()):
        return []  # said already
    passed = {name for name, (check, _) in words.items() if check.status == "PASS"}
    if not passed:
        return [f"{stage}: no check has passed"]
    # one that is skipped here and runs elsewhere was not run here; one that is skipped everywhere is not for this image
    runs = {name for name, (check, _) in all_words.items() if check.status != "SKIP"}
    names = {check.name for report in everywhere for check in report.checks if check.stage == stage}
    unseen = sorted((runs - passed) | (names - words.keys()))
    if unseen:
        return [f"{stage}: {some(unseen)} was not run"]
    if policy.max_age:
        oldest = min(time for name, (_, time) in words.items() if name in passed)
        if now - oldest > age(policy.max_age):
            return [f"{stage}: proven on {oldest.date()}, and {policy.max_age} is the most"]
    return []


def _newest(stage: str, reports: Sequence[Report]) -> dict[str, Word]:
    """By name of the check: its newest result. One that could not run says nothing where it ran before.

    `reports`: the oldest first.
    """
    found: dict[str, Word] = {}
    for report in reports:
        for check in report.checks:
            if check.stage == stage and (check.status != "SKIP" or check.name not in found):
                found[check.name] = check, min(time_of(check.proven or report.time), time_of(report.time))
    return found


def age(text: str) -> timedelta:
    """12h, 7d, 2w, as the site's model has them."""
    return int(text[:-1]) * _UNITS[text[-1]]


def time_of(text: str) -> datetime:
    """ISO, a day or a moment; in UTC. One that cannot be read is long ago."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _gpus(report: Report) -> list[str]:
    found = report.environment.get("gpus")
    return [str(name) for name in found] if isinstance(found, list) else []


def _model(report: Report, facts: Facts) -> str:
    """The GPU of the machine of a report; empty where it has none, or several models: who knows on which it ran."""
    models = {_known(name, facts) for name in _gpus(report)}
    return models.pop() if len(models) == 1 else ""


def _known(name: str, facts: Facts) -> str:
    """A model by the name that the facts have for it: drivers and people call it in other ways."""
    found = facts.gpu(name)
    return found.name if found else name.casefold()
