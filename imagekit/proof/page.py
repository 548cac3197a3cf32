"""A report of a proof as a page."""

from __future__ import annotations

import json
from collections import Counter

from imagekit import page
from imagekit.diagnose import answer
from imagekit.page import Page, Row, Table
from imagekit.report import STAGES, Check, Report

MOODS = {"PASS": "good", "FAIL": "bad", "ERROR": "bad", "SKIP": "dim"}

WORDS = {"FAIL": "failed", "ERROR": "broke off", "PASS": "passed", "SKIP": "not run"}
ORDER = ("failed", "broke off", "passed", "reused", "not run")

LABELS = (("found", "found"), ("expected", "expected"), ("because", "because"), ("on a GPU", "on_gpu"), ("fix", "fix"),
          ("it printed", "said"))  # fmt: skip

COLUMNS = {"check": "", "outcome": "outcome", "figures": "text", "seconds": "number", "memory": "number"}


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
    if report.proven:
        skipped = sum(check.status == "SKIP" for check in report.checks)
        return report.verdict + (f"; {skipped} check{'s' if skipped > 1 else ''} could not run here" if skipped else "")
    bad = [check.name for check in report.checks if check.bad]
    return f"not proven: {', '.join([*bad, *([report.problem] if report.problem else [])]) or 'nothing was checked'}"


def _stage(stage: str, report: Report) -> Table:
    """Bad checks come first, then what was checked, then what was not."""
    checks = sorted(
        (check for check in report.checks if check.stage == stage), key=lambda c: (not c.bad, c.status == "SKIP")
    )
    return Table(stage, tuple(COLUMNS), tuple(_row(check) for check in checks), summary=_summary(checks), kinds=COLUMNS)


def _summary(checks: list[Check]) -> str:
    """2 failed, 30 passed, 1 reused, 4 not run (no GPU here), 63 s."""
    counts = Counter("reused" if check.status == "PASS" and check.proven else WORDS[check.status] for check in checks)
    reasons = ", ".join(dict.fromkeys(check.reason for check in checks if check.status == "SKIP" and check.reason))
    words = [f"{counts[word]} {word}" for word in ORDER if counts[word]]
    if reasons:
        words[-1] += f" ({reasons})"
    took = sum(check.seconds for check in checks)
    return ", ".join([*words, *([f"{took:.0f} s"] if took >= 0.5 else [])])


def _row(check: Check) -> Row:
    figures = "; ".join(f"{name} {_short(value)}" for name, value in check.figures)
    if check.proven:
        figures = f"same files, proven {check.proven}" + (f"; {figures}" if figures else "")
    first = check.reason or (check.because or check.found if check.bad else figures)
    seconds = f"{check.seconds:.2f}" if check.status != "SKIP" else ""
    memory = f"{check.peak_mb:,} MB" if check.peak_mb else ""
    texts = [(label, getattr(check, name)) for label, name in LABELS]
    if check.bad:
        texts.insert(-1, ("known", answer.known((check.reason, check.found, check.because))))
    more = tuple((label, text) for label, text in texts if text and text != first)
    return Row((check.name, check.status, first, seconds, memory), MOODS.get(check.status, ""), more)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:197] + "..."
