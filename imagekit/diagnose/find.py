"""Known errors in a text, however long: one pass, and nothing of it is kept but a few lines."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from imagekit.diagnose import text
from imagekit.diagnose.load import faults
from imagekit.diagnose.model import Fault, Finding

BEFORE = 12
"""Lines before an error that count as its surroundings (`Fault.after`): about the last frames of a traceback."""
_SEAM = 200
"""Characters of the line before that are looked at with a line: a terminal or a log may have broken a message there."""
_BATCH = 512
"""Lines that are looked through at once for the words of all patterns, before any of them is looked at alone."""


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
    number, last, last_line = 0, "", 0
    before = [""]
    rest = iter(lines)
    while batch := [text.clean(line[: text.LIMIT]) for line in itertools.islice(rest, _BATCH)]:
        known = [*before, *batch]
        words = " ".join(known).lower()
        wanted = [one for one in _patterns() if one.words in words]
        for index in range(len(before), len(known)) if wanted else ():
            for finding in _of_line(known, index, wanted):
                at = replace(finding, line=finding.line + number - len(before))
                one = found.setdefault(finding.fault.id, at)
                found[finding.fault.id] = replace(one, count=one.count + 1)
        error = text.last_error(batch, words)
        if error is not None:
            last, last_line = batch[error], number + error + 1
        number += len(batch)
        before = known[-BEFORE:]
    return Seen(_in_order(found), number, text.quoted(last), last_line)


def by_id(name: str) -> Finding | None:
    """The error of that id, seen in no text; None = there is none."""
    return next((Finding(fault, 0) for fault in faults() if fault.id == name), None)


@dataclass(frozen=True)
class _Pattern:
    words: str
    """Lower-case text that every match has; looking for it takes a tenth of the time of the expression."""
    expression: str
    """Compiled when its words were seen: compiling all of them takes longer than most answers."""
    fault: Fault


@functools.cache
def _patterns() -> tuple[_Pattern, ...]:
    return tuple(_Pattern(literal(pattern).lower(), pattern, fault) for fault in faults() for pattern in fault.patterns)


def _of_line(lines: list[str], index: int, wanted: list[_Pattern]) -> Iterator[Finding]:
    """The errors that end in `lines[index]`, without those that others of it explain. Lines count from 1 here."""
    line = lines[index]
    seam = lines[index - 1][-_SEAM:] + " "
    joined = seam + line
    lower = joined.lower()
    matched: dict[str, Finding] = {}
    for one in wanted:
        if one.words not in lower or one.fault.id in matched:
            continue
        expression = re.compile(one.expression, re.IGNORECASE)
        match = next((match for match in expression.finditer(joined) if match.end() > len(seam)), None)
        near = lines[max(0, index - BEFORE) : index + 1]
        if match and any(re.search(one.fault.after, other, re.IGNORECASE) for other in near):
            broken = match.start() < len(seam)
            shown = text.quoted(joined if broken else line, expression)
            matched[one.fault.id] = Finding(one.fault, index + 1 - broken, shown)
    hidden = {id for finding in matched.values() for id in finding.fault.hides}
    return (finding for id, finding in matched.items() if id not in hidden)


def _in_order(found: dict[str, Finding]) -> tuple[Finding, ...]:
    """Errors before notices, each in the order of the text; what another explains is told with it."""
    top = {id: one for id, one in found.items() if not any(id in other.fault.hides for other in found.values())}
    told = [
        replace(one, explains=tuple(found[id] for id in one.fault.hides if id in found and id not in top))
        for one in top.values()
    ]
    return tuple(sorted(told, key=lambda one: (one.fault.notice, one.line)))


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\{[\d,]+\}|.", re.DOTALL)


def literal(pattern: str) -> str:
    """The longest text that whatever matches `pattern` has; empty = none that is easily seen."""
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
