"""Pages: one file with everything in it, and nothing of a report that could become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from imagekit import page
from imagekit.bench import compare
from imagekit.bench import page as bench_page
from imagekit.bench.measured import Bench, Measured, Metric
from imagekit.page import Bar, Chart, Page, Row, Table
from imagekit.proof.page import of_test
from imagekit.report import Check, Report

EVIL = "<script>alert('x')</script>"


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(html: str) -> Seen:
    parser = Seen()
    parser.feed(html)
    return parser


def test_a_report_is_on_its_page() -> None:
    checks = (
        Check("versions", "static", "PASS", 0.1, (("locked", 47),), peak_mb=200, proven="2026-11-19"),
        Check("env", "cpu", "FAIL", 1.0, found=EVIL, fix="set it", said="Traceback"),
        Check("gpu-available", "gpu", "SKIP", reason="no GPU here"),
    )
    where = {"cpu": "A CPU", "cores": 2, "gpus": [], "kernel": "6.1"}
    html = of_test(
        Report("sha256:1", checks, 2.0, reference="pytorch:x", time="2026-11-20T10:00:00", environment=where)
    )
    found = seen(html)
    assert "script" not in found.tags and all(link.startswith("#") for link in found.links)
    for text in (
        "not proven: env",
        "1 reused",
        "same files, proven 2026-11-19; locked 47",
        "1 failed, 1 s",
        "1 not run (no GPU here)",
        EVIL,
        "no GPU here",
        "A CPU, 2 cores",
        "200 MB",
    ):
        assert text in found.text, text
    assert "<details open>" in html


def test_bars_are_on_one_scale() -> None:
    bars = (Bar("one", 50, "50 /s", 40, 60), Bar("two", 100, "100 /s", 90, 120))
    html = page.html(Page("t", "v", "good", sections=[Chart("speed", bars)]))
    assert re.findall(r"<i style=\"width: ([\d.]+)%", html) == ["41.67", "83.33"]
    assert re.findall(r"<b style=\"left: ([\d.]+)%; width: ([\d.]+)%", html) == [("33.33", "16.67"), ("75.00", "25.00")]


def test_a_percentage_is_on_a_scale_to_a_hundred() -> None:
    html = page.html(Page("t", "v", "good", sections=[Chart("share", (Bar("one", 25, "25 %"),), full=100)]))
    assert "width: 25.00%" in html


def test_bad_checks_come_first_and_the_contents_link_to_them() -> None:
    checks = (Check("a", "cpu", "SKIP", reason="no"), Check("b", "cpu", "PASS"), Check("c", "cpu", "ERROR", found="x"),
              Check("d", "gpu", "FAIL", found="y"))  # fmt: skip
    html = of_test(Report("sha256:1", checks, 2.0, problem="the program was killed"))
    found = seen(html)
    assert "not proven: c, d, the program was killed" in found.text
    assert re.search(r"c\s*ERROR\s*x.*b\s*PASS.*a\s*SKIP\s*no", found.text, re.DOTALL)
    assert found.links == ["#s1", "#s1-1", "#s2", "#s2-1"]
    assert all(f'id="{link[1:]}"' in html for link in found.links)


def test_a_benchmark_that_the_baseline_has_is_missed() -> None:
    def run(*benches: Bench) -> Measured:
        return Measured("sha256:1", "x", "2026-11-20T10:00:00", "vm", 9, {"cpu": "A", "cores": 2}, benches)

    metric = Metric("av", "frames/s", "higher", 100, 90, 110, (100.0,))
    before, now = run(Bench("decode", "OK", 1, "", (metric,))), run(Bench("decode", "SKIP", 0, "no av"))
    html = bench_page.html(now, before, compare.changes(before, now, 0.1))
    assert '<p class="verdict bad">figures lost</p>' in html and '<tr class="row bad"' in html


def test_a_floor_that_is_missed_is_named_with_its_bound() -> None:
    metric = Metric("av", "frames/s", "higher", 100, 90, 110, (100.0,))
    benches = (Bench("decode", "OK", 1, "", (metric,)),)
    run = Measured("sha256:1", "x", "2026-11-20T10:00:00", "vm", 9, {"cpu": "A", "cores": 2}, benches)
    html = bench_page.html(run, floors=compare.floors({"cpu": {"decode/av": 2000}}, run))
    assert '<p class="verdict bad">floors missed</p>' in html
    assert "at least 2,000 frames/s, the site&#39;s floor" in html and 'class="bar bad"' in html


def test_a_chart_of_nothing_is_no_error() -> None:
    assert "speed" in page.html(
        Page("t", "v", "dim", sections=[Chart("speed", (Bar("one", 0, "0"),)), Chart("none", ())])
    )


def test_a_table_keeps_its_order() -> None:
    rows = tuple(Row((name, "PASS")) for name in "cab")
    found = seen(page.html(Page("t", "v", "good", sections=[Table("all", ("check", "outcome"), rows)])))
    assert re.search(r"c\s*PASS\s*a\s*PASS\s*b\s*PASS", found.text)
