"""Known errors in a text, however long: one pass, and nothing of it is kept but a few lines."""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from imagekit.diagnose import text
from imagekit.diagnose.load import faults
from imagekit.diagnose.model import Fault, Finding

BEFORE = 12
"""Lines before an error that count as its surroundings (`Fault.after`): about the last frames of a traceback."""
_SEAM = 200
"""Characters of the line before that are looked at with a line: a terminal or a log may have broken a message there."""


@dataclass(frozen=True)
class Seen:
    """What a text has."""

    findings: tuple[Finding, ...]
    """The most likely cause first."""
    lines: int
    last: str
    """The last line that looks like an error, shortened and without passwords; empty = none does."""
    last_line: int = 0


def find(lines: Iterable[str]) -> list[Finding]:
    """The known errors of a text, the most likely cause first. See `search`."""
    return list(search(lines).findings)


def search(lines: Iterable[str]) -> Seen:
    """One pass over lines of any number; each counts up to `text.LIMIT` characters."""
    found: dict[str, Finding] = {}
    window: deque[str] = deque([""], maxlen=BEFORE + 1)
    number, last, last_line = 0, "", 0
    for number, raw in enumerate(lines, 1):
        line = text.clean(raw[: text.LIMIT])
        for fault in _of_line(line, window):
            seen = found.get(fault.id) or Finding(fault, number, text.quoted(line))
            found[fault.id] = replace(seen, count=seen.count + 1)
        if text.looks_like_an_error(line):
            last, last_line = line, number
        window.append(line)
    return Seen(_in_order(found), number, text.quoted(last), last_line)


def by_id(name: str) -> Finding | None:
    """The error of that id, seen in no text; None = there is none."""
    return next((Finding(fault, 0) for fault in faults() if fault.id == name), None)


def _of_line(line: str, window: deque[str]) -> list[Fault]:
    """The errors that end in this line, without those that others of the same line explain."""
    seam = window[-1][-_SEAM:] + " "
    joined = seam + line
    lower = joined.lower()
    matched = []
    for needed, pattern, after, fault in _patterns():
        if needed not in lower or fault in matched:
            continue
        ends = any(match.end() > len(seam) for match in pattern.finditer(joined))
        if ends and (after is None or any(after.search(near) for near in (*window, line))):
            matched.append(fault)
    hidden = {id for fault in matched for id in fault.hides}
    return [fault for fault in matched if fault.id not in hidden]


def _in_order(found: dict[str, Finding]) -> tuple[Finding, ...]:
    """Errors before notices, each in the order of the text; what another explains is told with it."""
    top = {id: one for id, one in found.items() if not any(id in other.fault.hides for other in found.values())}
    told = [
        replace(one, explains=tuple(found[id] for id in one.fault.hides if id in found and id not in top))
        for one in top.values()
    ]
    return tuple(sorted(told, key=lambda one: (one.fault.notice, one.line)))


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str] | None, Fault], ...]:
    return tuple(
        (
            literal(pattern).lower(),
            re.compile(pattern, re.IGNORECASE),
            re.compile(fault.after, re.IGNORECASE) if fault.after else None,
            fault,
        )
        for fault in faults()
        for pattern in fault.patterns
    )


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\{[\d,]+\}|.", re.DOTALL)


def literal(pattern: str) -> str:
    """The longest text that whatever matches `pattern` has; empty = none that is easily seen.

    Looking for it first makes most lines cost a few microseconds.
    """
    runs, depth = [""], 0
    for token in _TOKEN.findall(pattern):
        if token in "()":
            depth += 1 if token == "(" else -1
            runs.append("")
        elif depth:
            continue
        elif token == "|":
            return ""
        elif token in "?*" or token[0] == "{":
            runs[-1:] = [runs[-1][:-1], ""]
        elif len(token) == 2 and not token[1].isalnum():
            runs[-1] += token[1]
        elif len(token) > 1 or token in ".^$+":
            runs.append("")
        else:
            runs[-1] += token
    return max(runs, key=len)
