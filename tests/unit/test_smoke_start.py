"""The preflight's decision table, and that it becomes the command."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import imagekit.smoke

START = Path(imagekit.smoke.__file__).with_name("start")

FACTS = {
    "torch": "2.4.1",
    "cuda": "12.1",
    "min_driver": "525.60.13",
    "gpu_architectures": ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"],
    "cpu_level": "x86-64-v3",
}
V3 = [
    "cx16",
    "lahf_lm",
    "popcnt",
    "pni",
    "sse4_1",
    "sse4_2",
    "ssse3",
    "abm",
    "avx",
    "avx2",
    "bmi1",
    "bmi2",
    "f16c",
    "fma",
    "movbe",
]
H100 = ("NVIDIA H100 80GB HBM3", 85_520_809_984, 9, 0)
B200 = ("NVIDIA B200", 191_000_000_000, 10, 0)


@pytest.fixture(scope="module")
def start() -> ModuleType:
    loader = SourceFileLoader("imagekit_start", str(START))
    spec = importlib.util.spec_from_loader("imagekit_start", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def decide(
    start: ModuleType, gpus: list[Any], mode: str = "", driver: str = "550.54.15", **more: Any
) -> tuple[list[str], int]:
    node = start.Node([start.Gpu(*gpu) for gpu in gpus], driver, more.get("trouble", ""), more.get("cpu", V3))
    lines, code = start.decide(more.get("facts", FACTS), node, mode)
    return lines, code


def test_a_good_node_is_one_line(start: ModuleType) -> None:
    lines, code = decide(start, [H100, H100])
    assert lines == ["2 x NVIDIA H100 80GB HBM3, 80 GB, driver 550.54.15; torch 2.4.1 CUDA 12.1"]
    assert code == 0


def test_an_old_driver_is_one_line_and_stops(start: ModuleType) -> None:
    (line,), code = decide(start, [H100], driver="470.82.01")
    assert code == 1
    assert "needs driver 525.60.13 or newer" in line


@pytest.mark.parametrize(("driver", "code"), [("525.60.13", 0), ("525.60.11", 1), ("1000.1", 0), ("", 0)])
def test_drivers_are_compared_as_numbers(start: ModuleType, driver: str, code: int) -> None:
    assert decide(start, [H100], driver=driver)[1] == code


def test_an_architecture_that_is_not_compiled_in_stops(start: ModuleType) -> None:
    (line,), code = decide(start, [H100, B200])
    assert code == 1
    assert "not compiled for NVIDIA B200 (sm_100)" in line


@pytest.mark.parametrize(
    ("compiled", "gpu", "fits"),
    [
        (["sm_80"], (8, 0), True),
        (["sm_80"], (8, 9), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_90a"], (9, 0), True),
        (["sm_100a"], (10, 3), False),
        (["sm_120"], (12, 0), True),
        (["sm_80", "compute_80"], (12, 0), True),
        (["compute_90"], (8, 0), False),
        ([], (8, 0), False),
    ],
)
def test_which_binaries_run_where(start: ModuleType, compiled: list[str], gpu: tuple[int, int], fits: bool) -> None:
    assert start.runs(compiled, *gpu) is fits


@pytest.mark.parametrize(("mode", "code", "lines"), [("", 0, 1), ("require", 1, 1), ("off", 0, 0)])
def test_no_gpu(start: ModuleType, mode: str, code: int, lines: int) -> None:
    said, status = decide(start, [], mode)
    assert (status, len(said)) == (code, lines)


def test_off_silences_everything(start: ModuleType) -> None:
    assert decide(start, [B200], "off", driver="1.0", cpu=["sse"]) == ([], 0)


def test_a_driver_that_does_not_start_is_named(start: ModuleType) -> None:
    (line,), code = decide(start, [], trouble="the driver does not start: CUDA_ERROR_SYSTEM_NOT_READY (802)")
    assert code == 0
    assert "802" in line


def test_an_old_cpu_stops_with_what_it_lacks(start: ModuleType) -> None:
    (line,), code = decide(start, [], cpu=[flag for flag in V3 if flag != "avx2"])
    assert code == 1
    assert "x86-64-v3" in line and "avx2" in line


def test_unknown_facts_forbid_nothing(start: ModuleType) -> None:
    assert decide(start, [H100], driver="1.0", facts={}, cpu=[])[1] == 0


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_damaged_facts_are_said_and_do_not_stop(start: ModuleType, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "image.json"
    if content is not None:
        path.write_text(content)
    facts, damage = start.load(str(path))
    assert facts == {}
    assert "missing or damaged" in damage


def command(*arguments: str, mode: str = "") -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "IMAGEKIT_PREFLIGHT": mode}
    return subprocess.run([sys.executable, "-IS", str(START), *arguments], env=env, capture_output=True, text=True)


def test_it_becomes_the_command() -> None:
    done = command("sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")


def test_off_says_nothing() -> None:
    assert command("true", mode="off").stderr == ""


def test_a_command_that_is_not_there_ends_as_in_a_shell() -> None:
    done = command("no-such-command", mode="off")
    assert done.returncode == 127
    assert done.stderr == "imagekit: command not found: no-such-command\n"


def test_a_command_that_cannot_be_run_ends_as_in_a_shell(tmp_path: Path) -> None:
    assert command(str(tmp_path), mode="off").returncode == 126


def test_it_can_be_executed() -> None:
    assert START.stat().st_mode & 0o111 == 0o111


def test_an_sshd_that_is_not_there_is_said_and_the_command_runs() -> None:
    environment = {"PATH": "/usr/bin:/bin", "IMAGEKIT_PREFLIGHT": "off", "IMAGEKIT_SSHD": "1"}
    command = [sys.executable, "-IS", str(START), "echo", "done"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "this image has no sshd: build it with --feature dev" in done.stderr


def look(*files: str, mode: str = "") -> subprocess.CompletedProcess[str]:
    return command("--look", *files, mode=mode)


def test_on_a_host_it_only_looks(tmp_path: Path) -> None:
    done = look()
    assert done.returncode == 0 and done.stdout == "" and "torch" not in done.stderr
    assert done.stderr.count("\n") == 1
    facts = tmp_path / "image.json"
    facts.write_text('{"torch": "2.4.1", "cuda": "12.1", "cpu_level": "x86-64-v1"}')
    assert look(str(facts)).returncode == 0


def test_on_a_host_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    done = look(str(tmp_path / "image.json"))
    assert done.returncode == 1 and "missing or damaged" in done.stderr


def test_on_a_host_without_an_image_the_line_is_about_the_node(start: ModuleType) -> None:
    lines, code = decide(start, [H100], facts={})
    assert (lines, code) == (["1 x NVIDIA H100 80GB HBM3, 80 GB, driver 550.54.15"], 0)
