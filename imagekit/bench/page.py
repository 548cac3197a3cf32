"""A run of benchmarks, for a terminal and as a page: bars with their spread, beside those of a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imagekit import page
from imagekit.bench import compare
from imagekit.bench.compare import Change, Floor
from imagekit.bench.measured import Bench, Measured, Metric
from imagekit.page import Bar, Chart, Page, Row, Table


def lines(run: Measured, changes: Sequence[Change] = ()) -> list[str]:
    """A line per figure: median, spread, and the change against the baseline."""
    by_name = {change.name: change for change in changes}
    rows = []
    for bench in run.benches:
        if bench.status != "OK":
            rows.append(f"{bench.name:<11} {bench.status.lower()}: {bench.reason}")
        for number, metric in enumerate(bench.metrics):
            change = by_name.get(f"{bench.name}/{metric.name}")
            against = f"  {_against(change)}" if change else ""
            head = "" if number else bench.name
            rows.append(f"{head:<11} {metric.name:<32} {metric.text():>22}  {_spread(metric):<8}{against}".rstrip())
    return rows


def _spread(metric: Metric) -> str:
    """How far the middle half of the samples is from the median, as a part of it."""
    far = max(metric.high - metric.median, metric.median - metric.low)
    return f"+-{far / metric.median:.0%}" if metric.median and len(metric.samples) > 1 else ""


def _against(change: Change) -> str:
    return _change(change) + (" REGRESSION" if change.regressed else "")


def _change(change: Change) -> str:
    word = "worse" if change.worse > 0 else "better"
    if not math.isfinite(change.worse):  # it was zero
        return word
    part = f"{abs(change.worse):.0%}"
    return "as before" if part == "0%" else f"{part} {word}"


def html(
    run: Measured, before: Measured | None = None, changes: Sequence[Change] = (), floors: Sequence[Floor] = ()
) -> str:
    slow = [change for change in changes if change.regressed]
    missed = [floor for floor in floors if floor.missed]
    lost = compare.lost(before, run) if before else []
    wrong = ["regressions"] * bool(slow) + ["floors missed"] * bool(missed) + ["figures lost"] * bool(lost)
    wrong += [*run.bad, *([run.problem] if run.problem else [])]
    old = dict(before.metrics()) if before else {}
    sections: list[Table | Chart] = []
    if slow or missed or lost:
        cells = [(c.name, c.now.text(), _change(c), f"{c.before.text()} in the baseline") for c in slow]
        cells += [(f.name, f.now.text() if f.now else "not measured", "", _wanted(f)) for f in missed]
        cells += [(x.name, "not measured", x.reason, f"{x.before.text()} in the baseline") for x in lost]
        kinds = {"figure": "", "now": "number", "change": "number", "expected": "text"}
        sections.append(_table("Not good enough", kinds, [Row(row, "bad") for row in cells]))
    against = {change.name: _change(change) for change in changes}
    bad = {change.name for change in slow} | {floor.name for floor in missed}
    for bench in run.benches:
        sections += _charts(bench, old, against, bad)
    left = sorted((bench for bench in run.benches if bench.status != "OK"), key=lambda bench: bench.status)
    if left:
        kinds = {"benchmark": "", "outcome": "outcome", "reason": "text"}
        rows = [Row((b.name, b.status, b.reason), "dim" if b.status == "SKIP" else "bad") for b in left]
        sections.append(_table("Not measured", kinds, rows))
    packages = ", ".join(f"{name} {version}" for name, version in (run.environment.get("packages") or {}).items())
    facts = (
        ("image", run.image), ("measured", f"{run.time.replace('T', ' ').replace('+00:00', ' UTC')}"),
        ("machine", run.machine), ("driver", str(run.environment.get("driver") or "")), ("host", run.host),
        ("packages", packages), ("baseline", f"{before.reference}, {before.time[:10]}" if before else ""),
        ("bars", "medians; a whisker spans the middle half of the samples" + (
            "; the hollow bar below is the baseline" if before else "")),
    )  # fmt: skip
    verdict = "; ".join(wrong) or f"{len(list(run.metrics()))} figures"
    known = tuple(fact for fact in facts if fact[1])
    return page.html(Page(f"Benchmarks of {run.reference}", verdict, "bad" if wrong else "good", known, sections))


def _table(title: str, kinds: dict[str, str], rows: Sequence[Row]) -> Table:
    return Table(title, tuple(kinds), tuple(rows), summary=str(len(rows)), kinds=kinds)


def _wanted(floor: Floor) -> str:
    bound = "at most" if floor.now and floor.now.better == "lower" else "at least"
    return f"{bound} {floor.wanted:,g}{f' {floor.now.unit}' if floor.now else ''}, the site's floor"


def _charts(bench: Bench, old: dict[str, Metric], against: dict[str, str], bad: set[str]) -> list[Table | Chart]:
    """A chart per unit: bars of one chart are on one scale."""
    charts: list[Table | Chart] = []
    notes = "; ".join(f"{name} {value}" for name, value in bench.notes.items())
    for unit in dict.fromkeys(metric.unit for metric in bench.metrics):
        bars: list[Bar] = []
        mine = [metric for metric in bench.metrics if metric.unit == unit]
        for metric in mine:
            name = f"{bench.name}/{metric.name}"
            bars.append(_bar(metric.name, metric, "bad" if name in bad else "", against.get(name, "")))
            if name in old:
                bars.append(_bar("baseline", old[name], "dim"))
        axis = f"{unit}, {mine[0].better} is better"
        count = f"{len(bench.metrics)} figure" + ("s" if len(bench.metrics) > 1 else "")
        head = ("", "", "") if charts else (bench.name, notes, count)
        full = 100 if unit == "%" else 0
        charts.append(Chart(head[0], tuple(bars), note=head[1], summary=head[2], unit=axis, full=full))
    return charts


def _bar(label: str, metric: Metric, mood: str, change: str = "") -> Bar:
    many = len(metric.samples) > 1
    low, high = (metric.low, metric.high) if many else (None, None)
    return Bar(label, metric.median, metric.text(), low, high, mood, change)
