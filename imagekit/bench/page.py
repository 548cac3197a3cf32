"""A run of benchmarks, for a terminal and as a page: bars with their spread, beside those of a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from imagekit import page
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
    word = "worse" if change.worse > 0 else "better"
    return f"{abs(change.worse):.0%} {word}" + (" REGRESSION" if change.regressed else "")


def html(
    run: Measured, before: Measured | None = None, changes: Sequence[Change] = (), floors: Sequence[Floor] = ()
) -> str:
    bad = [change for change in changes if change.regressed]
    missed = [floor for floor in floors if floor.missed]
    wrong = [*(["regressions"] if bad else []), *(["floors missed"] if missed else []), *run.bad]
    old = dict(before.metrics()) if before else {}
    sections: list[Table | Chart] = []
    if bad or missed:
        texts = [*(change.text() for change in bad), *(floor.text() for floor in missed)]
        sections.append(Table("Not good enough", ("figure",), tuple(Row((text,), "bad") for text in texts)))
    for bench in run.benches:
        sections += _charts(bench, old, {change.name for change in bad})
    left = tuple(Row((b.name, b.status, b.reason), "bad" if b.status == "ERROR" else "dim") for b in run.benches
                 if b.status != "OK")  # fmt: skip
    if left:
        sections.append(Table("Not measured", ("benchmark", "outcome", "reason"), left))
    packages = ", ".join(f"{name} {version}" for name, version in (run.environment.get("packages") or {}).items())
    facts = (
        ("image", run.image), ("measured", f"{run.time.replace('T', ' ').replace('+00:00', ' UTC')}"),
        ("machine", run.machine), ("driver", str(run.environment.get("driver") or "")), ("host", run.host),
        ("packages", packages), ("baseline", f"{before.reference}, {before.time[:10]}" if before else ""),
    )  # fmt: skip
    verdict = "; ".join(wrong) or run.problem or f"{len(list(run.metrics()))} figures"
    mood = "bad" if wrong or run.problem else "good"
    return page.html(Page(f"Benchmarks of {run.reference}", verdict, mood, tuple(f for f in facts if f[1]), sections))


def _charts(bench: Bench, old: dict[str, Metric], bad: set[str]) -> list[Table | Chart]:
    """A chart per unit: bars of one chart are on one scale."""
    charts: list[Table | Chart] = []
    notes = "; ".join(f"{name} {value}" for name, value in bench.notes.items())
    for unit in dict.fromkeys(metric.unit for metric in bench.metrics):
        bars: list[Bar] = []
        mine = [metric for metric in bench.metrics if metric.unit == unit]
        for metric in mine:
            name = f"{bench.name}/{metric.name}"
            bars.append(_bar(metric.name, metric, "bad" if name in bad else ""))
            if name in old:
                bars.append(_bar("baseline", old[name], "dim"))
        title = f"{bench.name}, {unit} ({mine[0].better} is better)"
        charts.append(Chart(title, tuple(bars), notes if not charts else ""))
    return charts


def _bar(label: str, metric: Metric, mood: str) -> Bar:
    many = len(metric.samples) > 1
    return Bar(label, metric.median, metric.text(), metric.low if many else None, metric.high if many else None, mood)
