"""What was proven, where and when: a file per report, and what a later proof may take over from it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit import report as reports
from imagekit.errors import UsageError
from imagekit.report import Report

KEEP = 500
"""Reports kept; the oldest go first."""

LOOK_BACK = 100
"""Reports whose results may be taken over."""


def folder() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "imagekit" / "evidence"


def save(report: Report) -> Path:
    return keep(reports.as_json(report))


def keep(raw: Mapping[str, Any]) -> Path:
    """A report of a proof or of benchmarks as a file, written whole or not at all."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    image = str(raw["image"]).removeprefix("sha256:")[:12]
    path = place / f"{time.time_ns():020}-{image}.json"  # by the end of a run: the newest word counts
    handle, name = tempfile.mkstemp(dir=place, prefix=".")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(raw, indent=1, default=str) + "\n")
    os.replace(name, path)
    for old in _files(place)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


@dataclass(frozen=True)
class Kept:
    """A report on record."""

    raw: dict[str, Any]
    report: Report


def all_of(where: Path | None = None, limit: int = KEEP) -> Iterator[Kept]:
    """Reports, newest first. One that cannot be read is passed over: it is history, not an input."""
    for path in _files(where or folder())[:limit]:
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            yield Kept(raw, reports.from_json(raw))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue


def known() -> dict[str, dict[str, Any]]:
    """Results by key that a proof may take over: those that passed when they were last looked at."""
    found: dict[str, dict[str, Any] | None] = {}
    for kept in all_of(limit=LOOK_BACK):
        if kept.report.problem:
            continue
        for check in kept.report.checks:
            if check.key and check.key not in found:
                since = check.proven or kept.report.time[:10]
                row = {"proven": since, "figures": dict(check.figures)}
                found[check.key] = row if check.status == "PASS" else None
    return {key: row for key, row in found.items() if row}


def find(image: str, where: str | None = None) -> list[Kept]:
    """The reports of an image, newest first; `image` is its id, whole or its beginning.

    Raises UsageError for a folder that is none.
    """
    place = Path(where) if where else folder()
    if where and not place.is_dir():
        raise UsageError(f"{where} is not a folder", hint="a folder of reports, as `imagekit test` keeps them")
    return [kept for kept in all_of(place) if kept.report.image.startswith(image)]


def of(*images: str) -> list[Kept]:
    """The reports on this machine of an image by its ids, newest first."""
    return [kept for kept in all_of() if kept.report.image in images]


def good(found: Sequence[Kept]) -> bool:
    """Whether the whole image was proven, and nothing has failed since. `found`: newest first."""
    return any(one.report.proven and not one.report.partial for one in found) and not reports.failing(
        [one.report for one in found]
    )


def lines(name: str, found: list[Kept]) -> list[str]:
    """For people: a line per report."""
    if not found:
        return [f"no proof of {name} is on record          imagekit test {name}"]
    rows = [f"{'when (UTC)':<20} {'outcome':<11} {'checks':<40} machine"]
    for kept in found:
        report, where = kept.report, kept.report.environment
        gpus = where.get("gpus")
        machine = ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else f"no GPU, {where.get('cpu', '?')}"
        when = report.time[:19].replace("T", " ")
        rows.append(f"{when:<20} {report.verdict:<11} {stages(report):<40} {machine}")
    # a report may come from a registry: nothing in it speaks to the terminal
    return ["".join(letter if letter.isprintable() else "?" for letter in row) for row in rows]


def stages(report: Report) -> str:
    """static 26, cpu 14 (11 reused), gpu 0 of 7"""
    texts = []
    for stage in reports.STAGES:
        checks = [check for check in report.checks if check.stage == stage]
        passed = [check for check in checks if check.status == "PASS"]
        reused = sum(bool(check.proven) for check in passed)
        if checks:
            of = f" of {len(checks)}" if len(passed) < len(checks) else ""
            texts.append(f"{stage} {len(passed)}{of}" + (f" ({reused} reused)" if reused else ""))
    return ", ".join(texts) or report.problem[:40]


def passed(report: Report) -> dict[str, int]:
    """Stage -> checks that passed."""
    counts = Counter(check.stage for check in report.checks if check.status == "PASS")
    return {stage: counts[stage] for stage in reports.STAGES if counts[stage]}


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.json"), reverse=True) if place.is_dir() else []
