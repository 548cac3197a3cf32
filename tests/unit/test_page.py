"""Pages: one file with everything in it, and nothing of a report that could become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from imagekit import page
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
    assert "script" not in found.tags and found.links == []
    for text in (
        "not proven: env",
        "PASS, proven 2026-11-19",
        "locked 47",
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
    assert re.findall(r"<i class=\"\" style=\"width: ([\d.]+)%", html) == ["41.67", "83.33"]
    assert re.findall(r"<b style=\"left: ([\d.]+)%; width: ([\d.]+)%", html) == [("33.33", "16.67"), ("75.00", "25.00")]


def test_a_chart_of_nothing_is_no_error() -> None:
    assert "speed" in page.html(
        Page("t", "v", "dim", sections=[Chart("speed", (Bar("one", 0, "0"),)), Chart("none", ())])
    )


def test_a_table_keeps_its_order() -> None:
    rows = tuple(Row((name, "PASS")) for name in "cab")
    found = seen(page.html(Page("t", "v", "good", sections=[Table("all", ("check", "outcome"), rows)])))
    assert re.search(r"c\s*PASS\s*a\s*PASS\s*b\s*PASS", found.text)
