"""Benchmarks from outside: what a program told, against a baseline and against floors of the site."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.bench import compare, measured, page, runner
from imagekit.bench.measured import Bench, Measured, Metric
from imagekit.engines.result import Result
from imagekit.errors import UsageError

HERE = {"cpu": "A CPU", "cores": 2, "gpus": ["NVIDIA A100-SXM4-40GB"], "driver": "550.54.15"}


def metric(median: float, spread: float = 1.0, better: str = "higher", name: str = "speed") -> Metric:
    return Metric(name, "images/s", better, median, median - spread, median + spread, (median, median))


def run(*metrics: Metric, status: str = "OK", reason: str = "", **where: object) -> Measured:
    bench = Bench("resnet18", status, 1.0, reason, metrics)
    environment = {**HERE, **where}
    return Measured("sha256:1", "pytorch:x", "2026-11-20T10:00:00+00:00", "node", 2.0, environment, (bench,))


def test_a_run_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = run(metric(100))
    (tmp_path / "base.json").write_text(json.dumps(measured.as_json(saved)))
    assert compare.read(str(tmp_path / "base.json")) == saved


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"benches": 1}', '{"benches": [{}], "environment": {}, "seconds": 1}']
)
def test_a_file_that_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "base.json").write_text(text)
    with pytest.raises(UsageError, match="no run of benchmarks"):
        compare.read(str(tmp_path / "base.json"))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        compare.read("/nowhere/base.json")


@pytest.mark.parametrize(("before", "now", "spread", "better", "bad"), [
    (100, 80, 1, "higher", True), (100, 95, 1, "higher", False), (100, 120, 1, "higher", False),
    (100, 80, 15, "higher", False),  # worse, and not more than the noise
    (10, 12, 0.5, "lower", True), (10, 8, 0.5, "lower", False), (0, 5, 1, "higher", False), (0, 5, 1, "lower", True),
])  # fmt: skip
def test_what_a_regression_is(before: float, now: float, spread: float, better: str, bad: bool) -> None:
    (change,) = compare.changes(run(metric(before, spread, better)), run(metric(now, spread, better)), 0.1)
    assert change.regressed is bad


def test_another_machine_is_no_baseline() -> None:
    with pytest.raises(UsageError, match="another kind of machine") as caught:
        compare.changes(run(metric(1), cpu="Another"), run(metric(1)), 0.1)
    assert "Another" in str(caught.value.details)


def test_new_figures_have_no_baseline_and_lost_ones_are_told() -> None:
    assert compare.changes(run(), run(metric(1)), 0.1) == []
    (lost,) = compare.lost(run(metric(1)), run(status="SKIP", reason="no GPU here"))
    assert lost.text() == "resnet18/speed: in the baseline, not measured here (no GPU here)"
    assert compare.lost(run(metric(1)), run(metric(1))) == []


@pytest.mark.parametrize(("kind", "gpu", "is_one"), [
    ("A100", "NVIDIA A100-SXM4-40GB", True), ("H20", "NVIDIA H200", False), ("h100", "NVIDIA H100 80GB HBM3", True),
    ("RTX 3090", "NVIDIA GeForce RTX 3090", True), ("RTX 3090", "NVIDIA GeForce RTX 3090 Ti", False),
])  # fmt: skip
def test_names_of_gpus_are_matched_by_words(kind: str, gpu: str, is_one: bool) -> None:
    assert compare.is_model(kind, gpu) is is_one


def test_floors_are_for_the_gpus_that_are_here() -> None:
    settings = {"A100": {"resnet18/speed": 120.0}, "H100": {"resnet18/speed": 1e9}, "cpu": {"resnet18/speed": 50.0}}
    missed = [floor.text() for floor in compare.floors(settings, run(metric(100))) if floor.missed]
    assert missed == ["resnet18/speed: 100 images/s, the site asks for 120 images/s"]


def test_a_floor_that_nobody_measures_is_missed() -> None:
    (floor,) = compare.floors({"cpu": {"resnet18/sped": 1.0}}, run(metric(1)))
    assert floor.missed and floor.text() == "resnet18/sped: the site asks for 1, and it was not measured"


def test_floors_of_what_was_not_asked_for_wait() -> None:
    some = replace(run(metric(1)), only=("resnet18",))
    assert compare.floors({"cpu": {"decode/av": 1.0}}, some) == []
    assert compare.lost(replace(run(metric(1)), benches=(Bench("decode", "OK", 1.0, "", (metric(1),)),)), some) == []


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.1", 0.1), (" 2.5 % ", 0.025), ("0", 0.0)])
def test_parts(text: str, value: float) -> None:
    assert compare.share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "-1", "100%", "1", "nan", "10%%"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError):
        compare.share(text)


def test_lines_for_people() -> None:
    now = run(metric(80))
    (line,) = page.lines(now, compare.changes(run(metric(100)), now, 0.1))
    assert "80 images/s" in line and "20% worse REGRESSION" in line and "+-1%" in line
    assert "resnet18    skip: no GPU here" in page.lines(run(status="SKIP", reason="no GPU here"))


ROW = {"bench": "decode", "status": "OK", "reason": "", "metrics": [], "notes": {}, "seconds": 1.0}


@pytest.mark.parametrize(("result", "problem"), [
    (Result(0, "\n".join([json.dumps({"environment": HERE}), json.dumps(ROW)]), ""), ""),
    (Result(5, json.dumps(ROW), ""), ""),
    (Result(0, "", ""), "nothing was measured: no word on stderr"),
    (Result(0, json.dumps(ROW) + "\nhello", ""), "printed 'hello'"),
    (Result(137, json.dumps(ROW), "Killed"), "ended with 137: Killed"),
    (Result(137, json.dumps(ROW), "", timed_out=True), "not finished after 9 s; 1 benchmarks were"),
])  # fmt: skip
def test_how_the_program_ended(result: Result, problem: str) -> None:
    told = runner.read(result, 9)[2]
    assert told == "" if not problem else problem in told


def test_a_program_that_does_not_start_is_the_users_to_mend() -> None:
    with pytest.raises(UsageError) as caught:
        runner.read(Result(2, "", "bench: there is no speed; there are: decode"), 9)
    assert "there is no speed" in str(caught.value.details)
