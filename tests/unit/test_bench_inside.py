"""The benchmarks that run inside an image: what is pure in them. Numbers themselves are nobody's promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagekit.bench import inside
from imagekit.bench.inside import benches, isolate, measure, node, program
from imagekit.bench.inside.bench import Bench, Outcome, Setting, Skip, needs_gpus
from imagekit.bench.inside.benches import batch, decode

FOLDER = Path(inside.__file__).parent


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ((3.0,), (3.0, 3.0, 3.0)),
        ((1.0, 2.0), (1.25, 1.5, 1.75)),
        ((5.0, 1.0, 3.0, 2.0, 4.0), (2.0, 3.0, 4.0)),
    ],
)
def test_quartiles(samples: tuple[float, ...], expected: tuple[float, float, float]) -> None:
    assert measure.quartiles(samples) == expected


def test_one_slow_run_does_not_move_the_median() -> None:
    assert measure.quartiles((1.0, 1.0, 1.0, 1.0, 99.0)) == (1.0, 1.0, 1.0)


def test_a_metric_says_what_it_is() -> None:
    row = measure.rate("cpu eager training", "images/s", 128, [2.0, 4.0, 2.0]).row()
    assert row == {
        "name": "cpu eager training", "unit": "images/s", "better": "higher",
        "median": 64.0, "low": 48.0, "high": 64.0, "samples": [64.0, 32.0, 64.0],
    }  # fmt: skip
    assert measure.duration("import torch", [0.123456], "ms", 1000).row()["samples"] == [123.5]


def test_a_metric_without_samples_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="0 samples"):
        measure.Metric("empty", "s", "lower", ())
    with pytest.raises(ValueError, match="'more'"):
        measure.Metric("strange", "s", "more", (1.0,))


def test_the_device_is_waited_for_before_and_after() -> None:
    said = list[str]()
    taken = measure.seconds(lambda: said.append("run"), 2, warm_up=1, wait=lambda: said.append("wait"))
    assert len(taken) == 2
    assert said == ["run", "wait", "run", "wait", "wait", "run", "wait"]


def test_options() -> None:
    options = program.parse(["--only", "start", "--only", "decode", "--quick", "--device", "cpu"])
    assert (options.only, options.quick, options.device) == (["start", "decode"], True, "cpu")
    assert [bench.name for bench in program.choose(options.only)] == ["start", "decode"]
    with pytest.raises(SystemExit):
        program.parse(["--device", "tpu"])


def test_an_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--only", "no-such"])
    assert ended.value.code == 2
    assert "no-such" in capsys.readouterr().err


def test_names_are_unique_and_plain() -> None:
    names = [bench.name for bench in benches.ALL]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    assert all(len(bench.about) > 20 for bench in benches.ALL)


def test_every_file_is_in_the_list() -> None:
    files = {path.stem for path in (FOLDER / "benches").glob("*.py")} - {"__init__"}
    assert files == {bench.run.__module__.rpartition(".")[2] for bench in benches.ALL}


def test_they_know_nothing_of_imagekit() -> None:
    for path in FOLDER.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) imagekit", path.read_text(), re.MULTILINE), path


def test_the_folder_runs_wherever_it_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(FOLDER)
    command = [sys.executable, "-B", str(tmp_path / "mounted"), "--list", "--only", "copies"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["bench"] for line in done.stdout.splitlines()] == ["copies"]


def test_where_is_measured() -> None:
    assert Setting().devices == ("cpu",)
    assert Setting(gpus=("H100",)).devices == ("cpu", "cuda")
    assert Setting(gpus=("H100",), device="cuda").devices == ("cuda",)


def test_nothing_is_measured_on_the_cpu_in_place_of_a_gpu() -> None:
    with pytest.raises(Skip, match="no GPU here"):
        _ = Setting(device="cuda").devices


def test_what_takes_gpus_says_so() -> None:
    assert needs_gpus(2)(Setting(gpus=("a",))) == "1 GPU here, this takes 2"
    assert needs_gpus(1)(Setting()) == "no GPU here, this takes 1"
    assert needs_gpus(1)(Setting(gpus=("a",))) == ""
    assert "--device cpu" in needs_gpus(1)(Setting(gpus=("a",), device="cpu"))


def test_a_module_that_is_missing_is_named() -> None:
    bench = Bench("x", lambda setting: Outcome([]), "about", needs=("json", "no_such_module"))
    assert program.one(bench, Setting())["reason"] == "this image has no no_such_module"


def measured(setting: Setting) -> Outcome:
    print("a library talks")
    return Outcome([measure.duration("nap", [0.5])], {"kind": "short"})


def skipped(setting: Setting) -> Outcome:
    raise Skip("no clip")


def broken(setting: Setting) -> Outcome:
    raise OSError("disk")


def killed(setting: Setting) -> Outcome:
    os.abort()


def endless(setting: Setting) -> Outcome:
    time.sleep(60)
    return Outcome([])


@pytest.mark.parametrize(
    ("run", "status", "reason"),
    [
        (measured, "OK", ""),
        (skipped, "SKIP", "no clip"),
        (broken, "ERROR", "OSError: disk"),
        (killed, "ERROR", "the benchmark died: SIGABRT"),
        (endless, "ERROR", "no end after 0.3 s"),
    ],
)
def test_how_a_benchmark_ends(run: object, status: str, reason: str) -> None:
    result = program.one(Bench("x", run, "about", needs=(), limit=0.3 if run is endless else 60), Setting())  # type: ignore[arg-type]
    assert (result["status"], result["reason"]) == (status, reason)
    assert set(result) == {"bench", "status", "reason", "metrics", "notes", "seconds"}
    assert [row["name"] for row in result["metrics"]] == (["nap"] if run is measured else [])


def test_a_benchmark_finds_no_caches_and_leaves_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/cache/triton")
    where = isolate.call(lambda: [os.getcwd(), os.environ["TRITON_CACHE_DIR"]], 10)
    assert where[1] == f"{where[0]}/triton"
    assert not Path(where[0]).exists()
    assert os.environ["TRITON_CACHE_DIR"] == "/cache/triton"


def test_the_largest_batch() -> None:
    asked = list[int]()

    def up_to(most: int) -> int:
        asked.clear()
        return batch.largest(lambda size: asked.append(size) or size <= most, 8, 1 << 14, steps=6)  # type: ignore[func-returns-value]

    assert up_to(100) == 100
    assert asked[:5] == [8, 16, 32, 64, 128]
    assert up_to(7) == 0
    assert up_to(1 << 20) == 1 << 14


def test_limits_of_a_control_group(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert node.limit("cpu.max", tmp_path) == 1.5
    assert node.limit("memory.max", tmp_path) == 0
    assert node.limit("absent", tmp_path) == 0


def test_the_cpu_is_named() -> None:
    assert node.cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 9654\n") == "AMD EPYC 9654"
    assert node.cpu_model("processor : 0\n")


def test_every_reader_is_known_by_its_module() -> None:
    assert set(decode.READERS) == {"av", "opencv", "decord", "torchcodec", "torchvision"}
