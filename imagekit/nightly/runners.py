"""Proofs on nodes of clusters ([runners] of the site): what is not proven there yet, a night has proven there.

That goes by what is attached to the image, whoever brought it; so a night that was killed asks again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from imagekit import cluster, policy, several
from imagekit import report as reports
from imagekit.cells.document import Night
from imagekit.errors import NotProven
from imagekit.nightly.before import Before
from imagekit.nightly.state import Cell
from imagekit.proof import evidence
from imagekit.report import Report
from imagekit.site import Site

AT_ONCE = 16
"""Jobs at a time; where there is no node for one, it waits in the cluster."""


@dataclass(frozen=True)
class Waiting:
    """An image that is good so far."""

    cell: Cell
    there: Before
    on: tuple[str, ...]
    """Runners that are to be asked."""


@dataclass(frozen=True)
class Word:
    """What came of one Job."""

    text: str
    """static 26, cpu 14, gpu 9; or why there is nothing."""
    lines: tuple[str, ...]
    """All that the call printed."""
    bad: bool = False
    """It ran and is not proven."""


def asked(there: Before, night: Night, now: datetime) -> tuple[str, ...]:
    """Runners on which this very image is not proven, or was too long ago."""
    limit = policy.age(night.proven_within) if night.proven_within else None

    def said(report: Report, name: str) -> bool:
        if report.partial or not report.proven or not cluster.is_of(report.host, name):
            return False
        age = now - policy.time_of(report.time)
        return age >= -policy.AHEAD and (limit is None or age <= limit)

    return tuple(name for name in night.runners if not any(said(report, name) for report in there.reports))


def trouble(names: Sequence[str], site: Site) -> list[str]:
    """Why they cannot be asked, before hours of work."""
    known = site.settings.runners
    found = [f"the site has no [runners.{name}]" for name in names if name not in known]
    return [*found, *(["kubectl is not installed"] if names and not cluster.available() else [])]


def ask(
    waiting: Sequence[Waiting], site: Site, site_file: str, begins: Callable[[str, str], None]
) -> dict[str, dict[str, Word]]:
    """Tag -> runner -> its word. `begins` is told of each as it starts. Raises Interrupted."""
    names = {f"{one.cell.tag} on {name}": (one, name) for one in waiting for name in one.on}
    jobs = [several.Job(job, _call(one, name, site, site_file)) for job, (one, name) in names.items()]
    lines: dict[str, list[str]] = {job: [] for job in names}
    done = several.run(
        jobs, at_once=AT_ONCE, free_disk=lambda: None,
        say=lambda job, line: lines[job].append(line), begins=lambda job: begins(names[job][0].cell.tag, names[job][1]),
    )  # fmt: skip
    found: dict[str, dict[str, Word]] = {one.cell.tag: {} for one in waiting}
    for outcome in done:
        one, name = names[outcome.name]
        found[one.cell.tag][name] = _word(outcome, lines[outcome.name])
    return found


def _call(one: Waiting, name: str, site: Site, site_file: str) -> tuple[str, ...]:
    # where the node should have GPUs, a driver that is broken must not pass as checks that were left out
    gpu = ("--require-gpu",) if site.settings.runners[name].gpus else ()
    where = ("--site", site_file) if site_file else ()
    return ("test", f"registry:{one.there.reference}", "--on", name, *gpu, "--json", *where)


def _word(outcome: several.Outcome, lines: Sequence[str]) -> Word:
    try:
        text = evidence.stages(reports.from_json(json.loads(outcome.stdout)))
    except (ValueError, KeyError, TypeError, AttributeError):
        text = f"nothing: {several.complaint(lines)[0]}"
    return Word(text, tuple(lines), outcome.code == NotProven.exit_code)


def told(cell: Cell, words: Mapping[str, Word]) -> Cell:
    """With what was said; bad where it is not proven."""
    cell = cell.model_copy(update={"on": {name: word.text for name, word in words.items()}})
    bad = {name: word for name, word in words.items() if word.bad}
    if not bad:
        return cell
    why = [
        line.strip()
        for name, word in bad.items()
        for line in (f"not proven on {name}", *several.complaint(word.lines)[1:11])
        if line.strip()
    ]
    return cell.model_copy(update={"state": "bad", "code": NotProven.exit_code, "why": tuple(why)})
