"""All nights as one page: what there is now, what changed and why, and how sizes, times, proofs and figures went."""

from __future__ import annotations

from collections.abc import Sequence

from imagekit import amounts, page
from imagekit.nightly.state import Cell, Night
from imagekit.page import Bar, Chart, Page, Row, Table

SHOWN = 30
"""Nights in the table of what changed, and bars in a chart; the newest."""

MOODS = {"good": "good", "bad": "bad", "impossible": "dim"}

MATRIX = {"image": "", "state": "outcome", "this night": "text", "size": "number", "proven": "text", "promoted": "text"}
KNOWN = {"vulnerabilities": "text"}
"""Where somebody looked."""

CHANGES = {"image": "", "night": "number", "state": "outcome", "why and what": "text", "took": "number"}


def html(nights: Sequence[Night]) -> str:
    """`nights`: in their order; at least one."""
    last = nights[-1]
    bad = [cell.tag for cell in last.cells if cell.state == "bad"]
    good = sum(cell.state == "good" for cell in last.cells)
    charts = [chart for tag in _tags(last) for chart in _charts(tag, nights)]
    return page.html(
        Page(
            title="Nightly images",
            verdict=f"bad: {', '.join(bad)}" if bad else f"{good} {'image is' if good == 1 else 'images are'} good",
            mood="bad" if bad else "good",
            facts=(
                ("night", f"{last.number}, {_when(last)}"),
                ("work", amounts.clock(sum(cell.seconds for cell in last.cells))),
                ("could not be asked", "; ".join(last.unknown) or "nothing"),
                ("imagekit", last.version),
            ),
            sections=[_matrix(last), _changes(nights), *charts],
        )
    )


def _tags(night: Night) -> list[str]:
    return [cell.tag for cell in night.cells if cell.state != "impossible"]


def _when(night: Night) -> str:
    return f"{night.started[:16].replace('T', ' ')} UTC"


def _matrix(night: Night) -> Table:
    rows, looked = [], any(cell.vulnerabilities is not None for cell in night.cells)
    for cell in night.cells:
        where = "; ".join(f"{to}: {what}" for to, what in cell.promoted.items())
        what = cell.did if cell.did != "nothing" else "as it was" if cell.state == "good" else "not made"
        said = ": ".join(filter(None, ["" if cell.state == "impossible" else what, "; ".join(cell.reasons)]))
        size = amounts.size(cell.size) if cell.size else ""
        word = "cannot be had" if cell.state == "impossible" else cell.state
        told = (cell.tag, word, said, size, cell.proof, where, *([_known(cell)] if looked else []))
        rows.append(Row(told, MOODS[cell.state], _more(cell), _links(cell)))
    kinds = {**MATRIX, **(KNOWN if looked else {})}
    return Table("Images", tuple(kinds), tuple(rows), kinds=kinds)


def _more(cell: Cell) -> tuple[tuple[str, str], ...]:
    rows = (
        ("image", cell.reference), ("why", "\n".join(cell.reasons)), ("changes", "\n".join(cell.changes)),
        ("on runners", "\n".join(f"{name}: {text}" for name, text in cell.on.items())),
        ("failed", "\n".join(cell.why)), ("slower", "\n".join(cell.slower)),
        ("vulnerabilities that count", "\n".join(cell.counts)),
    )  # fmt: skip
    return tuple((label, text) for label, text in rows if text)


def _known(cell: Cell) -> str:
    """2 critical, 13 high; 1 counts"""
    if cell.vulnerabilities is None:
        return ""
    told = ", ".join(f"{count} {severity}" for severity, count in cell.vulnerabilities.items()) or "none"
    return f"{told}; {len(cell.counts)} count{'s' * (len(cell.counts) == 1)}" if cell.counts else told


def _links(cell: Cell) -> tuple[tuple[str, str], ...]:
    return (("log", cell.log),) if cell.log else ()


def _changes(nights: Sequence[Night]) -> Table:
    """Images that were made, proven again or failed, newest night first."""
    rows = []
    for night in list(nights)[::-1][:SHOWN]:
        for cell in night.cells:
            if cell.did != "nothing" or cell.state == "bad":
                what = "; ".join(cell.why[:1] or cell.reasons)
                took = amounts.clock(cell.seconds) if cell.seconds else ""
                row = (cell.tag, _when(night), cell.did if cell.state == "good" else "bad", what, took)
                more = _more(cell) if night is not nights[-1] else ()  # those are above
                rows.append(Row(row, MOODS[cell.state], more, _links(cell) if more else ()))
    quiet = sum(all(cell.did == "nothing" and cell.state != "bad" for cell in night.cells) for night in nights)
    note = f"{quiet} of {len(nights)} nights had nothing to do." if quiet else ""
    return Table("What changed and why", tuple(CHANGES), tuple(rows), note=note, kinds=CHANGES)


def _charts(tag: str, nights: Sequence[Night]) -> list[Chart]:
    """Size, time and figures of one image over the nights in which it was another one."""
    cells = [(night, cell) for night in nights if (cell := night.cell(tag)) and cell.did == "built" and cell.size]
    cells = cells[-SHOWN:]
    if not cells:
        return []
    newest = cells[-1][1]
    found = [
        _chart(tag, "size, compressed", [(_when(n), c.size / 1e9, amounts.size(c.size)) for n, c in cells]),
        _chart("", "time to make and prove", [(_when(n), c.seconds, amounts.clock(c.seconds)) for n, c in cells]),
        *_proofs(tag, nights),
    ]
    for name in newest.figures:
        bars = [(_when(n), c.figures[name], amounts.number(c.figures[name])) for n, c in cells if name in c.figures]
        found.append(_chart("", name, bars))
    return found


def _proofs(tag: str, nights: Sequence[Night]) -> list[Chart]:
    """How the proofs of one image went; a night in which it was bad has none, and is seen."""
    cells = [(night, cell) for night in nights if (cell := night.cell(tag)) and (cell.checks or cell.state == "bad")]
    cells = cells[-SHOWN:]
    if not any(cell.checks for _, cell in cells):
        return []
    passed, took = [], []
    for night, cell in cells:
        stages, bad = [f"{stage} {count}" for stage, count in cell.checks.items()], cell.state == "bad"
        text = ", ".join([*stages, *(["bad"] if bad else [])])
        passed.append(Bar(_when(night), sum(cell.checks.values()), text, mood="bad" if bad else ""))
        if cell.checks:
            took.append(Bar(_when(night), cell.proof_seconds, amounts.clock(cell.proof_seconds)))
    return [Chart("", tuple(passed), unit="checks that passed"), Chart("", tuple(took), unit="time to prove")]


def _chart(title: str, unit: str, bars: Sequence[tuple[str, float, str]]) -> Chart:
    return Chart(title, tuple(Bar(label, value, text) for label, value, text in bars), unit=unit)
