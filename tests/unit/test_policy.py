"""What a repository asks for, against what was proven."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import pytest

from imagekit.compat import facts
from imagekit.policy import missing
from imagekit.report import Check, Report
from imagekit.site.model import Promotion

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
V100, H100 = "Tesla V100-SXM2-32GB", "NVIDIA H100 80GB HBM3"


def report(time: str = "2026-11-22T06:00:00+00:00", *, gpu: str = "", partial: bool = False, **checks: str) -> Report:
    """`checks`: stage__name=status, with a day after a space where it was taken over."""
    rows = []
    for key, told in checks.items():
        stage, _, name = key.partition("__")
        status, _, proven = told.partition(" ")
        rows.append(Check(name, stage, status, proven=proven))
    where: Mapping[str, object] = {"gpus": [gpu] if gpu else []}
    return Report("sha256:1", tuple(rows), 1.0, time=time, partial=partial, environment=where)


def asks(*stages: str, gpus: tuple[str, ...] = (), age: str = "") -> Promotion:
    return Promotion(stages=list(stages), gpus=list(gpus), max_age=age)  # type: ignore[arg-type]


def lacks(policy: Promotion, *reports: Report) -> list[str]:
    return missing(policy, reports, NOW, facts.load())


WHOLE = report(static__a="PASS", cpu__b="PASS", cpu__c="SKIP", gpu__d="SKIP", gpu__e="SKIP")


def test_all_that_is_asked_for_is_there() -> None:
    assert lacks(asks("static", "cpu", age="1d"), WHOLE) == []


def test_nothing_was_proven() -> None:
    assert lacks(asks("static")) == ["there is no proof of the whole image"]
    assert lacks(asks("static"), report(partial=True, static__a="PASS")) == ["there is no proof of the whole image"]


def test_the_newest_word_counts() -> None:
    later = report("2026-11-22T08:00:00+00:00", partial=True, static__a="FAIL")
    assert lacks(asks("static"), WHOLE, later) == ["static: a did not pass"]
    again = report("2026-11-22T09:00:00+00:00", partial=True, static__a="PASS")
    assert lacks(asks("static"), again, later, WHOLE) == []


def test_a_proof_that_is_too_old() -> None:
    old = report("2026-11-01T06:00:00+00:00", static__a="PASS")
    assert lacks(asks("static", age="1w"), old) == ["static: proven on 2026-11-01, and 1w is the most"]
    taken = report(static__a="PASS 2026-11-01", static__b="PASS")
    assert lacks(asks("static", age="1w"), taken) == ["static: proven on 2026-11-01, and 1w is the most"]
    assert lacks(asks("static", age="4w"), taken) == []


def test_a_stage_that_could_not_run_is_not_proven() -> None:
    assert lacks(asks("static", "gpu"), WHOLE) == ["gpu: no check has passed"]


@pytest.mark.parametrize("name", [H100, "H100", "nvidia-h100-80gb-hbm3"])
def test_each_model_is_proven_on_itself(name: str) -> None:
    on = report("2026-11-22T07:00:00+00:00", gpu=name, partial=True, gpu__d="PASS", gpu__e="PASS")
    assert lacks(asks("gpu", gpus=("H100",)), WHOLE, on) == []
    assert lacks(asks("gpu", gpus=("H100", "V100")), WHOLE, on) == ["gpu: no check has passed on V100"]
    assert lacks(asks("static", gpus=("V100",)), WHOLE, on) == ["gpu: no check has passed on V100"]


def test_a_model_that_is_nearly_another_is_not_it() -> None:
    on = report(gpu="NVIDIA H200", partial=True, gpu__d="PASS", gpu__e="PASS")
    assert lacks(asks("gpu", gpus=("H20",)), WHOLE, on) == ["gpu: no check has passed on H20"]


def test_some_checks_of_a_stage_are_not_the_stage() -> None:
    on = report("2026-11-22T07:00:00+00:00", gpu=V100, partial=True, gpu__d="PASS")
    assert lacks(asks("gpu", gpus=("V100",)), WHOLE, on) == ["gpu: e was not run on V100"]
    assert lacks(asks("gpu"), WHOLE, on) == ["gpu: e was not run"]


def test_one_that_failed_on_one_model_fails_there() -> None:
    good = report("2026-11-22T07:00:00+00:00", gpu=H100, partial=True, gpu__d="PASS", gpu__e="PASS")
    bad = report("2026-11-22T08:00:00+00:00", gpu=V100, partial=True, gpu__d="ERROR", gpu__e="PASS")
    assert lacks(asks("gpu", gpus=("H100", "V100")), WHOLE, good, bad) == [f"gpu: d did not pass on {V100}"]


def test_a_run_that_came_to_no_end() -> None:
    broken = Report("sha256:1", WHOLE.checks, 1.0, problem="killed", time=WHOLE.time, environment={"gpus": []})
    assert lacks(asks("static"), broken) == ["the last proof of the whole image came to no end: killed"]


def test_all_that_is_missing_at_once() -> None:
    bad = report(static__a="FAIL", cpu__b="SKIP", gpu__d="SKIP")
    assert lacks(asks("static", "cpu", "gpu", gpus=("V100",)), bad) == [
        "static: a did not pass", "cpu: no check has passed", "gpu: no check has passed on V100",
    ]  # fmt: skip


def test_what_has_failed_is_missing_whatever_is_asked_for() -> None:
    bad = report(static__a="PASS", cpu__b="FAIL", gpu__d="SKIP")
    assert lacks(asks("static"), bad) == lacks(asks(), bad) == ["cpu: b did not pass"]


def test_one_model_hides_nothing_of_another() -> None:
    bad = report("2026-11-22T07:00:00+00:00", gpu=V100, partial=True, gpu__d="FAIL")
    good = report("2026-11-22T08:00:00+00:00", gpu=H100, partial=True, gpu__d="PASS", gpu__e="PASS")
    assert lacks(asks("gpu"), WHOLE, bad, good) == [f"gpu: d did not pass on {V100}"]


def test_what_is_skipped_there_and_runs_elsewhere_was_not_run_there() -> None:
    there = report("2026-11-22T07:00:00+00:00", gpu=H100, partial=True, gpu__d="PASS", gpu__e="SKIP")
    elsewhere = report("2026-11-22T08:00:00+00:00", gpu=V100, partial=True, gpu__d="PASS", gpu__e="PASS")
    assert lacks(asks("gpu", gpus=("H100",)), WHOLE, there, elsewhere) == ["gpu: e was not run on H100"]


def test_a_machine_of_several_models_speaks_for_none() -> None:
    both = report("2026-11-22T07:00:00+00:00", gpu=H100, partial=True, gpu__d="PASS", gpu__e="PASS")
    both.environment["gpus"].append("Tesla T4")  # type: ignore[index]
    assert lacks(asks("gpu", gpus=("H100",)), WHOLE, both) == ["gpu: no check has passed on H100"]


def test_a_report_of_the_future_says_nothing() -> None:
    ahead = report("2036-11-22T07:00:00+00:00", static__a="PASS")
    assert lacks(asks("static"), ahead) == ["there is no proof of the whole image"]
    assert lacks(asks("static"), ahead, report(static__a="FAIL")) == ["static: a did not pass"]
