"""Evidence: what is kept of a proof, what a later one may take over, and what people see of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagekit.cli.evidence import command
from imagekit.errors import UsageError
from imagekit.proof import evidence
from imagekit.report import Check, Report

ID = "sha256:" + "ab" * 32


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def report(day: str, *checks: Check, image: str = ID) -> Report:
    where = {"cpu": "A CPU", "gpus": ["NVIDIA H100 (sm_90)"], "cores": 2}
    time = f"2026-11-{day}T10:00:00+00:00"
    return Report(image, checks, 1.5, reference="pytorch:x", time=time, environment=where, host="node")


def check(status: str, key: str = "k1", proven: str = "") -> Check:
    return Check("it", "cpu", status, 1.0, (("a", 1),), key=key, proven=proven)


def test_a_report_comes_back_as_it_was_kept() -> None:
    kept = report("20", check("PASS"), Check("bad", "cpu", "FAIL", found="x", said="words", peak_mb=3))
    evidence.save(kept)
    (found,) = evidence.all_of()
    assert found.report == kept


def test_the_newest_word_on_a_key_counts() -> None:
    evidence.save(report("18", check("PASS"), check("PASS", "k2")))
    assert evidence.known()["k1"] == {"proven": "2026-11-18", "figures": {"a": 1}}
    evidence.save(report("19", check("FAIL")))
    assert set(evidence.known()) == {"k2"}
    evidence.save(report("20", check("PASS")))
    assert evidence.known()["k1"]["proven"] == "2026-11-20"


@pytest.mark.parametrize("status", ["FAIL", "ERROR", "SKIP"])
def test_nothing_is_taken_over_from_what_did_not_pass(status: str) -> None:
    evidence.save(report("18", check(status)))
    assert evidence.known() == {}


def test_a_day_is_that_of_the_first_proof() -> None:
    evidence.save(report("20", check("PASS", proven="2026-11-18")))
    assert evidence.known()["k1"]["proven"] == "2026-11-18"


def test_a_damaged_report_is_passed_over(state: Path) -> None:
    evidence.save(report("20", check("PASS")))
    for number, text in enumerate(('{"checks": 1}', "[]", "{", '{"checks": [{}], "image": "x", "seconds": 1}')):
        (evidence.folder() / f"3{number}.json").write_text(text)
    assert len(list(evidence.all_of())) == 1


def test_old_reports_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "KEEP", 2)
    for day in ("18", "19", "20"):
        evidence.save(report(day, check("PASS")))
    assert [kept.report.time[8:10] for kept in evidence.all_of()] == ["20", "19"]


def test_people_see_stages_and_machines() -> None:
    evidence.save(report("20", check("PASS"), check("PASS", proven="2026-11-18"), Check("g", "gpu", "SKIP")))
    head, line = evidence.lines("x", evidence.find(ID))
    assert "cpu 2 (1 reused), gpu 0 of 1" in line and "NVIDIA H100 (sm_90)" in line and "2026-11-20 10:00:00" in line
    assert head.startswith("when")
    assert "imagekit test x" in evidence.lines("x", [])[0]


def test_a_folder_that_is_none() -> None:
    with pytest.raises(UsageError, match="not a folder"):
        evidence.find(ID, "/nowhere/at/all")


def test_an_id_needs_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    evidence.save(report("20", check("PASS")))
    page = tmp_path / "page.html"
    done = CliRunner().invoke(command, [ID[:19], "--json", "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["image"] == ID
    assert "<h1>pytorch:x</h1>" in page.read_text()
