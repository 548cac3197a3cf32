"""The pages as a browser shows them: headless Chromium opens them, and a script in a copy measures what is seen.

Without chromium these tests are skipped and say so; with IMAGEKIT_REQUIRE_ENGINE=1 (`make test`) they fail instead.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagekit.bench import compare
from imagekit.bench import page as bench_page
from imagekit.bench.measured import Bench, Measured, Metric
from imagekit.nightly import page as nights_page
from imagekit.nightly.state import Cell, Night
from imagekit.proof.page import of_test
from imagekit.report import Check, Report

PHONE, DESK = 390, 1200
LONG = "/opt/venv/lib/python3.12/site-packages/" + "x" * 200
EVIL = "<script>console.error('evil')</script><img src=https://example.com/x.png>"

# console.log shows that messages of the console are seen at all
MEASURE = r"""
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const box = e => { const r = e.getBoundingClientRect(); return {left: r.left, right: r.right, height: r.height}; };
const text = e => e.innerText.trim();
const rgb = color => { const n = color.match(/[\d.]+/g).map(Number); return n.length == 4 && n[3] == 0 ? null : n; };
const behind = e => e ? rgb(getComputedStyle(e).backgroundColor) || behind(e.parentElement) : [255, 255, 255];
const light = c => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) =>
  sum + part * (c[i] / 255 <= 0.04045 ? c[i] / 255 / 12.92 : ((c[i] / 255 + 0.055) / 1.055) ** 2.4), 0);
const contrast = e => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05); };
const words = all("body *").filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
const seen = {
  title: document.title, heading: text(document.querySelector("h1")), verdict: text(document.querySelector(".verdict")),
  width: innerWidth, scroll: document.documentElement.scrollWidth, background: getComputedStyle(document.body).backgroundColor,
  outside: all("body *").filter(e => !e.closest("table") || e.closest("details"))
    .filter(e => box(e).right > innerWidth + 1).map(e => e.outerHTML.slice(0, 200)),
  faint: words.filter(e => contrast(e) < 4.5).map(e => e.outerHTML.slice(0, 200)),
  resources: performance.getEntriesByType("resource").map(r => r.name), images: document.images.length,
  scripts: document.scripts.length,
  contents: all("nav dt").map(dt => [text(dt), dt.nextElementSibling ? text(dt.nextElementSibling) : ""]),
  links: all("a").map(a => [text(a), text(document.getElementById(a.hash.slice(1)) || document.createElement("p"))]),
  sections: Object.fromEntries(all("section").filter(s => s.querySelector("table")).map(s => [s.querySelector("h2").firstChild.data,
    all("tr.row", s).map(tr => all("td", tr).map(text))])),
  headings: all("h2").map(text),
  shown: all("details dd").filter(e => e.checkVisibility({contentVisibilityAuto: true}) && box(e).height > 0).map(text),
  numbers: all("td.number").map(e => [getComputedStyle(e).textAlign, getComputedStyle(e).fontVariantNumeric]),
  pills: all("td.outcome span").map(e => [text(e), rgb(getComputedStyle(e).backgroundColor) !== null]),
  bars: all(".bar").map(e => { const [i, b] = [e.querySelector("i"), e.querySelector("b")], style = getComputedStyle(i);
    return {label: text(e.querySelector(".label")), value: text(e.querySelector(".value")), change: text(e.querySelector(".change")),
      track: box(e.querySelector(".track")), bar: box(i), whisker: b && box(b), hatched: style.backgroundImage != "none",
      hollow: !rgb(style.backgroundColor)}; }),
};
console.log("measured");
const out = document.createElement("pre"); out.id = "seen"; out.textContent = JSON.stringify(seen); parent.document.body.append(out);
"""

# no window is narrower than 500 pixels, but a frame may be; it has the colour scheme of what is around it
FRAME = """<!doctype html><style>:root {{ color-scheme: light dark }} iframe {{ width: {width}px; height: 1000px; border: 0 }}</style>
<iframe srcdoc="{page}"></iframe>"""

Look = Callable[..., dict[str, Any]]


@pytest.fixture
def chromium(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    if not shutil.which("chromium"):
        reason = "chromium is not installed; as root: apt-get install chromium"
        if os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    def run(path: Path, width: int, *more: str) -> subprocess.CompletedProcess[str]:
        # nothing but the file is opened, so no sandbox is needed: root has none, nor has a container
        return subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'browser'}",
             f"--window-size={width},1000", *more, f"file://{path}"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip

    return run


@pytest.fixture
def look(chromium: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Look:
    def measure(page: str, width: int = DESK, *more: str) -> dict[str, Any]:
        copy = tmp_path / "copy.html"
        measured = page.replace("</body>", f"<script>{MEASURE}</script></body>")
        copy.write_text(FRAME.format(width=width, page=html.escape(measured)))
        done = chromium(copy, DESK, "--dump-dom", *more)
        found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stderr
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert len(console) == 1 and "measured" in console[0], console
        seen: dict[str, Any] = json.loads(html.unescape(found[1]))
        assert seen["width"] == width
        return seen

    return measure


def proof() -> str:
    said = "Traceback (most recent call last):\n" + f'  File "{LONG}", line 1\n' * 15 + f"RuntimeError: {EVIL}"
    checks = (
        *(Check(f"check-{n}", "static", "PASS", n / 7, (("files", n),), peak_mb=40 * n) for n in range(30)),
        Check("libraries", "static", "PASS", 4.2, (("digest", LONG),), proven="2026-11-19"),
        Check("imports", "cpu", "PASS", 12.3, peak_mb=1210),
        Check("compile", "cpu", "FAIL", 61.1, found="RuntimeError", expected="the same as eager", because="no g++ is here",
              on_gpu="gcc is needed too", fix="compilers: true", said=said),
        Check("decode", "cpu", "ERROR", 180, reason="killed after 180 s"),
        Check("matmul", "gpu", "SKIP", reason="no GPU here"),
        Check("nvdec", "gpu", "SKIP", reason="no GPU here"),
    )  # fmt: skip
    where = {"cpu": "A CPU", "cores": 2, "gpus": [], "checks": "sha256:" + "5c" * 32}
    return of_test(Report("sha256:" + "9a" * 32, checks, 300, reference=f"registry.example.com/{'team' * 20}:x",
                          lock="sha256:" + "77" * 32, time="2026-11-20T10:00:00+00:00", environment=where))  # fmt: skip


def bench() -> str:
    def metric(name: str, value: float, unit: str = "frames/s", better: str = "higher") -> Metric:
        return Metric(name, unit, better, value, 0.9 * value, 1.2 * value, (value, 0.9 * value, 1.2 * value))

    def run(*benches: Bench) -> Measured:
        return Measured(
            "sha256:1", "pytorch:x", "2026-11-20T10:00:00+00:00", "vm", 9, {"cpu": "A", "cores": 2}, benches
        )

    before = run(Bench("decode", "OK", 1, "", (metric("av", 1000), metric("decord", 2000))))
    now = run(
        Bench("decode", "OK", 1, "", (metric("av", 1000), metric("decord", 500), metric("wait", 25, "%", "lower")),
              {"codec": LONG}),
        Bench("start", "OK", 1, "", (Metric(EVIL, "s", "lower", 3, 3, 3, (3.0,)),)),
        Bench("batch", "SKIP", 0, "no GPU here"),
        Bench("video", "ERROR", 0, f"no codec in {LONG}"),
    )  # fmt: skip
    return bench_page.html(now, before, compare.changes(before, now, 0.1))


def nights() -> str:
    def night(number: int, *cells: Cell) -> Night:
        started = f"2026-11-{number:02}T02:00:00+00:00"
        return Night(number=number, started=started, version="1", cells=cells, unknown=(f"the index {EVIL} is down",))

    image = f"registry.example.com/{'team' * 20}/pytorch@sha256:{'9a' * 32}"
    good = Cell(tag="pytorch:2.4.1-cuda12.1-video-llm", state="good", reference=image, size=3_100_000_000, proof="static 26, cpu 14",
                promoted={"prod": "there"})  # fmt: skip
    made = {"did": "built", "seconds": 61, "reasons": ("security: openssl 3.0.1 -> 3.0.2",), "log": "nights/000018/a.log",
            "changes": ("openssl 3.0.1 -> 3.0.2", f"{'x' * 200} 1 -> 2"), "checks": {"static": 26}, "proof_seconds": 65,
            "figures": {"resnet18/cpu": 12.5}}  # fmt: skip
    bad = Cell(
        tag=f"pytorch:2.9.1-{'x' * 100}", state="bad", why=("the image is not proven", f"FAIL {LONG} {EVIL}"), code=5
    )
    no = Cell(tag="vision --torch 2.9.1 --cuda 11.8", state="impossible", why=(EVIL,))
    return nights_page.html(
        [night(18, good.model_copy(update=made), no), night(19, good, no), night(20, good, bad, no)]
    )


PAGES = pytest.mark.parametrize("page", [proof(), bench(), nights()], ids=["proof", "bench", "nights"])


@PAGES
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_and_is_legible(page: str, width: int, scheme: str, look: Look) -> None:
    """No sideways scrolling however long a name is, and the contrast that WCAG AA asks for, in either scheme."""
    seen = look(page, width, *(["--force-dark-mode"] if scheme == "dark" else []))
    assert seen["scroll"] <= width and seen["outside"] == []
    assert seen["faint"] == []
    brightness = sum(map(int, re.findall(r"\d+", seen["background"])[:3]))
    assert brightness < 150 if scheme == "dark" else brightness > 600


@PAGES
def test_a_page_is_one_file(page: str, look: Look) -> None:
    """What a report says runs nothing and loads nothing; the one script is the one that measures."""
    seen = look(page)
    assert (seen["resources"], seen["images"], seen["scripts"]) == ([], 0, 1)
    tags = re.findall(r"<[^>]*>", page)
    assert not [
        tag
        for tag in tags
        if re.search(r"""\s(src|href=(?!"(#|nights/)))""", tag) or tag.startswith(("<link", "<script"))
    ]


@PAGES
def test_a_screenshot(page: str, chromium: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page)
    for name, more in (("light", ()), ("dark", ("--force-dark-mode",))):
        chromium(tmp_path / "page.html", PHONE, f"--screenshot={tmp_path / name}.png", *more)
    light, dark = ((tmp_path / f"{name}.png").read_bytes() for name in ("light", "dark"))
    assert light[:4] == dark[:4] == b"\x89PNG" and int.from_bytes(light[16:20], "big") == PHONE
    assert light != dark


def test_a_proof_says_what_is_bad(look: Look) -> None:
    seen = look(proof())
    assert seen["title"] == seen["heading"] and seen["title"].startswith("registry.example.com/team")
    assert seen["verdict"] == "not proven: compile, decode"
    assert seen["contents"] == [
        ["static", "30 passed, 1 reused, 66 s"],
        ["cpu", "1 failed, 1 broke off, 1 passed, 253 s: compile, decode"],
        ["gpu", "2 not run (no GPU here)"],
    ]
    rows = seen["sections"]
    assert {stage: len(rows[stage]) for stage in rows} == {"static": 31, "cpu": 3, "gpu": 2}
    assert [row[:3] for row in rows["cpu"]] == [
        ["compile", "FAIL", "no g++ is here"],
        ["decode", "ERROR", "killed after 180 s"],
        ["imports", "PASS", ""],
    ]
    assert rows["static"][30][2].startswith("same files, proven 2026-11-19; digest /opt/venv")
    assert rows["static"][29][3:] == ["4.14", "1,160 MB"]
    assert all(name in target for name, target in seen["links"]) and len(seen["links"]) == 3 + 2
    assert "compilers: true" in seen["shown"] and any(EVIL in text for text in seen["shown"])


def test_a_proof_needs_no_colour(look: Look) -> None:
    """Bad outcomes are filled, and the digits of a column stand under each other."""
    seen = look(proof())
    assert {(text, filled) for text, filled in seen["pills"]} == {
        ("PASS", False), ("FAIL", True), ("ERROR", True), ("SKIP", False),
    }  # fmt: skip
    assert {tuple(number) for number in seen["numbers"]} == {("right", "tabular-nums")}


def test_benchmarks_say_what_is_bad(look: Look) -> None:
    seen = look(bench())
    assert seen["title"] == "Benchmarks of pytorch:x"
    assert seen["verdict"] == f"regressions; video: no codec in {LONG}"
    assert seen["headings"] == ["Not good enough1", "decode3 figures", "start1 figure", "Not measured2"]
    assert seen["sections"] == {
        "Not good enough": [["decode/decord", "500 frames/s", "75% worse", "2,000 frames/s in the baseline"]],
        "Not measured": [["video", "ERROR", f"no codec in {LONG}"], ["batch", "SKIP", "no GPU here"]],
    }
    assert [(bar["label"], bar["value"], bar["change"]) for bar in seen["bars"]] == [
        ("av", "1,000 frames/s", "as before"),
        ("baseline", "1,000 frames/s", ""),
        ("decord", "500 frames/s", "75% worse"),
        ("baseline", "2,000 frames/s", ""),
        ("wait", "25 %", ""),
        (EVIL, "3 s", ""),
    ]
    assert all(name in target for name, target in seen["links"])


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_bars_are_as_long_as_their_figures(width: int, look: Look) -> None:
    """On one scale from zero, whiskers at the quartiles; what is worse is hatched, and a baseline is hollow."""
    seen = look(bench(), width)
    ends = (1.2 * 2000, 1.2 * 2000, 1.2 * 2000, 1.2 * 2000, 100, 3)
    for bar, value, end in zip(seen["bars"], (1000, 1000, 500, 2000, 25, 3), ends, strict=True):
        track = bar["track"]
        left, long = track["left"] + 1, track["right"] - track["left"] - 1  # the line at zero
        assert long > 250 and bar["bar"]["left"] == pytest.approx(left, abs=1)
        assert bar["bar"]["right"] == pytest.approx(left + long * value / end, abs=1.5), bar
        if bar["whisker"]:
            assert bar["whisker"]["left"] == pytest.approx(left + long * 0.9 * value / end, abs=1.5)
            assert bar["whisker"]["right"] == pytest.approx(left + long * 1.2 * value / end, abs=1.5)
    assert [bar["whisker"] is not None for bar in seen["bars"]] == [True] * 5 + [False]
    assert [bar["label"] for bar in seen["bars"] if bar["hatched"]] == ["decord"]
    assert [bar["hollow"] and not bar["hatched"] for bar in seen["bars"]] == [False, True, False, True, False, False]


def test_nights_say_what_is_bad_and_what_changed(look: Look) -> None:
    seen = look(nights())
    assert seen["verdict"].startswith("bad: pytorch:2.9.1-xxx")
    rows = seen["sections"]
    assert [row[1] for row in rows["Images"]] == ["good", "bad", "cannot be had"]
    assert [row[2:4] for row in rows["What changed and why"]] == [
        ["bad", "the image is not proven"], ["built", "security: openssl 3.0.1 -> 3.0.2"],
    ]  # fmt: skip
    assert [(bar["label"], bar["value"]) for bar in seen["bars"]] == [
        ("2026-11-18 02:00 UTC", "3.1 GB"), ("2026-11-18 02:00 UTC", "1:01"),
        ("2026-11-18 02:00 UTC", "static 26"), ("2026-11-18 02:00 UTC", "1:05"), ("2026-11-18 02:00 UTC", "12.5"),
    ]  # fmt: skip
    assert any("FAIL" in text for text in seen["shown"]), "what is bad is open"
