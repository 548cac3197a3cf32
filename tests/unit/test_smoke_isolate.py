"""Each check in a process of its own: what a crash, a hang, noise and a refusal look like in the report."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.smoke.check import Check, Failure, Figures, Image, Skip, progress
from imagekit.smoke.isolate import Result, run_all

IMAGE = Image({"packages": []}, {})


def passes(image: Image) -> Figures:
    return {"answer": 42}


def refuses(image: Image) -> Figures:
    raise Failure(found="1.0", expected="2.0", because="somebody", fix="do not", on_gpu="worse")


def cannot(image: Image) -> Figures:
    raise Skip("no such thing here")


def breaks(image: Image) -> Figures:
    raise KeyError("nothing")


def crashes(image: Image) -> Figures:
    progress("reading address 0")
    ctypes.string_at(0)
    return {}


def hangs(image: Image) -> Figures:
    progress("waiting for ever")
    time.sleep(1000)
    return {}


def leaves(image: Image) -> Figures:
    raise SystemExit(0)


def is_noisy(image: Image) -> Figures:
    print("from Python")
    os.write(1, b"from C\n")
    subprocess.run(["echo", "from a child"], check=True)
    return {}


def floods(image: Image) -> Figures:
    while True:
        os.write(1, b"again and again\n" * 4000)


def is_killed(image: Image) -> Figures:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def closes_its_output(image: Image) -> Figures:
    os.close(1)
    os.close(2)
    time.sleep(0.3)
    return {"spent": time.process_time()}


def takes_memory(image: Image) -> Figures:
    return {"bytes": len(b"x" * 300 * 2**20)}


def run(body: Callable[[Image], Figures], limit: float = 30) -> Result:
    (result,) = run_all([Check("it", "cpu", body, limit=limit)], IMAGE, at_once=2)
    return result


def test_figures_come_back() -> None:
    result = run(passes)
    assert (result.status, result.figures) == ("PASS", {"answer": 42})


def test_a_refusal_keeps_its_fields() -> None:
    result = run(refuses)
    assert (result.status, result.found, result.expected) == ("FAIL", "1.0", "2.0")
    assert (result.because, result.fix, result.on_gpu) == ("somebody", "do not", "worse")


def test_what_cannot_run_here_says_why() -> None:
    result = run(cannot)
    assert (result.status, result.reason) == ("SKIP", "no such thing here")


@pytest.mark.parametrize(("body", "found"), [(breaks, "KeyError: 'nothing'"), (leaves, "SystemExit: 0")])
def test_an_exception_is_an_error_of_that_check(body: Callable[[Image], Figures], found: str) -> None:
    result = run(body)
    assert (result.status, result.found) == ("ERROR", found)


def test_a_crash_is_named_by_its_signal_and_by_what_it_was_at() -> None:
    result = run(crashes)
    assert result.status == "ERROR"
    assert "SIGSEGV" in result.found
    assert "reading address 0" in result.because


def test_a_hang_ends_at_the_limit_and_says_what_it_was_at() -> None:
    result = run(hangs, limit=0.3)
    assert (result.status, result.found) == ("ERROR", "no end after 0.3 s")
    assert "waiting for ever" in result.because


def test_one_crash_leaves_the_others_alone() -> None:
    bodies = {"a": crashes, "b": passes, "c": breaks, "d": passes}
    results = run_all([Check(name, "cpu", body) for name, body in bodies.items()], IMAGE, at_once=2)
    assert {r.check: r.status for r in results} == {"a": "ERROR", "b": "PASS", "c": "ERROR", "d": "PASS"}


def test_noise_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(is_noisy).status == "PASS"
    out, err = capfd.readouterr()
    assert out == ""
    assert all(text in err for text in ("from Python", "from C", "from a child"))


def test_workers_do_not_outlive_their_check() -> None:
    read, write = os.pipe()

    def starts_a_worker(image: Image) -> Figures:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], pass_fds=[write])
        return {}

    assert run(starts_a_worker).status == "PASS"
    os.close(write)
    with os.fdopen(read, "rb") as held:
        assert select.select([held], [], [], 10)[0], "the worker still holds the pipe"
        assert held.read() == b""


def test_every_check_has_a_folder_of_its_own_that_goes_away() -> None:
    def where(image: Image) -> Figures:
        Path("left behind").write_text("x")
        return {"folder": os.getcwd(), "tmp": os.environ["TMPDIR"]}

    first, second = run_all([Check(name, "cpu", where) for name in "ab"], IMAGE, at_once=1)
    assert first.figures["folder"] == first.figures["tmp"] != second.figures["folder"]
    assert not Path(first.figures["folder"]).exists()


def test_a_flood_ends_soon_and_is_not_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    result = run(floods)
    assert (result.status, result.found) == ("ERROR", "it printed more than 16 MB")
    assert result.said.endswith("again and again\n") and len(result.said) <= 2000
    assert len(capfd.readouterr().err) <= 2**16


def test_a_kill_is_told_as_what_it_often_is() -> None:
    result = run(is_killed)
    assert (result.status, result.found) == ("ERROR", "the check died: SIGKILL (out of memory?)")


def test_what_it_printed_is_quoted_when_it_is_bad_and_only_then() -> None:
    assert run(is_noisy).said == ""
    assert "KeyError" in run(breaks).said


def test_a_check_without_output_costs_its_parent_nothing() -> None:
    before = time.process_time()
    assert run(closes_its_output).status == "PASS"
    assert time.process_time() - before < 0.2


def test_the_most_memory_of_a_check_is_told() -> None:
    assert 300 <= run(takes_memory).peak_mb < 2000


def test_out_of_memory_a_check_goes_first() -> None:
    def victim(image: Image) -> Figures:
        return {"score": int(Path("/proc/self/oom_score_adj").read_text())}

    assert run(victim).figures == {"score": 1000}


def test_no_check_can_write_into_the_report() -> None:
    read, write = os.pipe()

    def forges(image: Image) -> Figures:
        os.write(write, b"all is well\n")
        return {}

    (result,) = run_all([Check("it", "cpu", forges)], IMAGE, at_once=1, private=[write])
    os.close(write)
    assert (result.status, result.found) == ("ERROR", "OSError: [Errno 9] Bad file descriptor")
    with os.fdopen(read, "rb") as report:
        assert report.read() == b""
