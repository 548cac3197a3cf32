"""A report of a proof as a page."""

from __future__ import annotations

import json

from imagekit import page
from imagekit.page import Page, Row, Table
from imagekit.report import STAGES, Check, Report

MOODS = {"PASS": "good", "FAIL": "bad", "ERROR": "bad", "SKIP": "dim"}

LABELS = (("found", "found"), ("expected", "expected"), ("because", "because"), ("on a GPU", "on_gpu"), ("fix", "fix"),
          ("it printed", "said"))  # fmt: skip


def of_test(report: Report) -> str:
    return page.html(
        Page(
            title=report.reference or report.image,
            verdict=_verdict(report),
            mood="good" if report.proven else "bad",
            facts=tuple((name, value) for name, value in facts(report) if value),
            sections=[_stage(stage, report) for stage in STAGES if any(c.stage == stage for c in report.checks)],
        )
    )


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """Which image, where, when."""
    where = report.environment
    gpus = where.get("gpus")
    return (
        ("image", report.image),
        ("profile", report.profile),
        ("lock", report.lock),
        ("tested", f"{report.time.replace('T', ' ').replace('+00:00', ' UTC')} in {report.seconds:.0f} s"),
        ("host", report.host),
        ("CPU", f"{where.get('cpu', '')}, {where.get('cores', '?')} cores" if where else ""),
        ("GPUs", ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else "none"),
        ("driver", str(where.get("driver") or "")),
        ("kernel", str(where.get("kernel") or "")),
        ("checks", str(where.get("checks") or "")),
    )


def _verdict(report: Report) -> str:
    bad = [check.name for check in report.checks if check.bad]
    if report.proven:
        skipped = sum(check.status == "SKIP" for check in report.checks)
        return "proven" + (f"; {skipped} checks could not run here" if skipped else "")
    return f"not proven: {', '.join(bad) or report.problem}"


def _stage(stage: str, report: Report) -> Table:
    checks = [check for check in report.checks if check.stage == stage]
    head = ("check", "outcome", "seconds", "memory", "figures")
    return Table(stage, head, tuple(_row(check) for check in checks))


def _row(check: Check) -> Row:
    figures = "; ".join(f"{name} {_short(value)}" for name, value in check.figures)
    first = check.reason or (check.because or check.found if check.bad else figures)
    outcome = f"{check.status}, proven {check.proven}" if check.proven else check.status
    memory = f"{check.peak_mb} MB" if check.peak_mb else ""
    more = tuple((label, text) for label, name in LABELS if (text := getattr(check, name)))
    return Row((check.name, outcome, f"{check.seconds:.2f}", memory, first), MOODS.get(check.status, ""), more)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:197] + "..."
