"""Reports: a line per stage for people, JSON and JUnit for machines; a problem is never a pass."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from imagekit import report
from imagekit.engines.result import Result
from imagekit.proof import runner
from imagekit.report import Check, Report

PASS = Check("versions", "static", "PASS", 0.2, (("locked", 8),))
FAIL = Check(
    "env",
    "static",
    "FAIL",
    1.0,
    found="LANG=C is not UTF-8\n\x1b[31mred\x00",
    expected="C.UTF-8",
    because="ENV lines",
    fix="x",
)
SKIP = Check("gpu", "gpu", "SKIP", reason="no GPU here")
ERROR = Check("imports", "cpu", "ERROR", 61.4, reason="not finished after 60 s")


def lines(*checks: Check, planned: int | None = None) -> str:
    """What the program in the image prints."""
    rows = [
        {"check": c.name, "stage": c.stage, "status": c.status, "seconds": c.seconds, "reason": c.reason}
        for c in checks
    ]
    head = {"environment": {"cpu": "x"}, "planned": len(checks) if planned is None else planned}
    return "\n".join(json.dumps(row) for row in [head, *rows])


def test_a_line_of_the_program_is_read() -> None:
    raw = {
        "check": "a",
        "stage": "cpu",
        "status": "PASS",
        "seconds": 1.5,
        "figures": {"b": 2, "a": 1},
        "found": None,
        "new": 1,
    }
    assert report.parse(json.dumps(raw)) == Check("a", "cpu", "PASS", 1.5, (("a", 1), ("b", 2)))


@pytest.mark.parametrize("line", ["", "hello", "{}", "[]", "1", '{"check": "a"}'])
def test_anything_else_is_not_a_result(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        report.parse(line)


@pytest.mark.parametrize(("checks", "problem", "proven"), [
    ((PASS,), "", True), ((PASS, SKIP), "", True), ((), "", False), ((PASS, FAIL), "", False), ((PASS, ERROR), "", False),
    ((PASS,), "not finished", False),
])  # fmt: skip
def test_what_is_proven(checks: tuple[Check, ...], problem: str, proven: bool) -> None:
    assert Report("sha256:1", checks, 1.0, problem).proven is proven


def test_a_line_per_stage_with_every_reason() -> None:
    static, cpu, gpu = report.summary(Report("sha256:1", (PASS, FAIL, ERROR, SKIP), 63))
    assert static.startswith("static  1 pass, 1 FAIL") and static.endswith("0:01")
    assert cpu.startswith("cpu     1 ERROR") and cpu.endswith("1:01")
    assert gpu.startswith("gpu     1 not run: no GPU here")


def test_failures_tell_what_a_user_needs() -> None:
    text = "\n".join(report.failures(Report("sha256:1", (PASS, FAIL), 1, "the program ended with 137")))
    assert "FAIL  env" in text and "found      LANG=C is not UTF-8" in text and "fix        x" in text
    assert "ERROR  the program ended with 137" in text and "versions" not in text


def test_json_holds_everything() -> None:
    answer = json.loads(json.dumps(report.as_json(Report("sha256:1", (PASS, FAIL, SKIP), 2.04))))
    assert (answer["image"], answer["proven"], answer["seconds"]) == ("sha256:1", False, 2.0)
    assert [check["status"] for check in answer["checks"]] == ["PASS", "FAIL", "SKIP"]
    assert answer["checks"][0]["figures"] == {"locked": 8} and answer["checks"][2]["reason"] == "no GPU here"


def test_junit_counts_and_is_well_formed_whatever_was_printed() -> None:
    suite = ElementTree.fromstring(report.junit(Report("sha256:1", (PASS, FAIL, ERROR, SKIP), 3, "ended \x1b with 1")))
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": str(len(suite)), "failures": "1", "errors": "2", "skipped": "1"}
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds == {"versions": [], "env": ["failure"], "imports": ["error"], "gpu": ["skipped"], "program": ["error"]}


def test_junit_survives_control_characters_in_a_reason() -> None:
    bad = Check("a", "cpu", "ERROR", reason="\x1b[31mboom\x00 \x0c")
    ElementTree.fromstring(report.junit(Report("sha256:1", (bad,), 1)))


@pytest.mark.parametrize(("result", "said"), [
    (Result(0, lines(PASS), ""), ""),
    (Result(5, lines(PASS, FAIL), ""), ""),
    (Result(0, "", ""), "no check ran: no word on stderr"),
    (Result(0, lines(PASS) + "\nhello", ""), "printed 'hello'"),
    (Result(137, lines(PASS), "a\nKilled"), "ended with 137: a / Killed"),
    (Result(137, lines(PASS), "", timed_out=True), "not finished after 9 s; the last check that ended was versions"),
    (Result(137, "", "", timed_out=True), "the last check that ended was none"),
    (Result(0, lines(PASS, planned=3), ""), "1 of 3 checks told how they ended; the last was versions"),
    (Result(5, lines(PASS), ""), "says that a check failed, and none of its lines does"),
])  # fmt: skip
def test_how_the_program_in_the_image_ended(result: Result, said: str) -> None:
    _, problem, _ = runner.read(result, runner.Wish(timeout=9))
    assert problem == "" if not said else said in problem
