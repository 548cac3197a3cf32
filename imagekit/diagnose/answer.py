"""Findings as lines for people, and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from imagekit.diagnose import find
from imagekit.diagnose.load import faults
from imagekit.diagnose.model import Finding

WIDTH = 110
WHOLE = 3
"""Findings that are told in full; of more, the titles."""


def lines(findings: Iterable[Finding]) -> list[str]:
    told: list[str] = []
    for number, finding in enumerate(findings):
        if number < WHOLE:
            told += [*([""] if told else []), *_whole(finding)]
            continue
        told += [""] if number == WHOLE else []
        told.append(f"also     {finding.fault.title}, line {finding.line}: imagekit diagnose {finding.fault.id}")
    return told


def known(texts: Iterable[str]) -> str:
    """The most likely of the errors in texts, and how to read on about it; empty = nothing is known."""
    found = find.find(line for part in texts for line in part.splitlines())
    return next((f"{one.fault.title}: imagekit diagnose {one.fault.id}" for one in found if not one.fault.notice), "")


def table() -> list[str]:
    """Every error that is known in one line, under its group."""
    told: list[str] = []
    group = ""
    for fault in faults():
        if fault.group != group:
            told += [*([""] if told else []), fault.group]
            group = fault.group
        told.append(f"  {fault.id:<26} {fault.title}")
    return told


def as_json(finding: Finding) -> dict[str, Any]:
    fault = finding.fault
    return {
        "id": fault.id, "title": fault.title, "line": finding.line, "text": finding.text, "count": finding.count,
        "because": fault.cause, "check": fault.check, "fix": fault.fix, "docs": f"docs/{fault.docs}",
        "notice": fault.notice, "sources": list(fault.sources), "explains": [as_json(one) for one in finding.explains],
    }  # fmt: skip


def all_as_json() -> list[dict[str, Any]]:
    """Every error that is known, as a finding in no text."""
    return [as_json(Finding(fault, 0)) for fault in faults()]


def seen_as_json(seen: find.Seen) -> dict[str, Any]:
    error = {"line": seen.last_line, "text": seen.last} if seen.last else None
    return {"lines": seen.lines, "findings": [as_json(one) for one in seen.findings], "last_error": error}


def _whole(finding: Finding) -> list[str]:
    fault = finding.fault
    rows = [("because", fault.cause), ("check", fault.check), ("fix", fault.fix)]
    if finding.line:
        times = f" ({finding.count} times)" if finding.count > 1 else ""
        rows.insert(0, ("seen", f"line {finding.line}{times}: {finding.text}"))
    rows += [("with", f"{one.fault.title}, line {one.line}") for one in finding.explains]
    rows.append(("more", f"docs/{fault.docs}, docs/troubleshooting.md#{fault.id}"))
    return [f"{fault.title}  [{fault.id}]", *(line for label, text in rows for line in _filled(label, text))]


def _filled(label: str, text: str) -> list[str]:
    """`label` and a text of several lines; each is filled, and one that cannot be is longer."""
    first, rest = f"  {label:<8} ", " " * 11
    return [
        line
        for number, part in enumerate(text.splitlines())
        for line in textwrap.wrap(
            part, WIDTH, initial_indent=rest if number else first, subsequent_indent=rest,
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip
