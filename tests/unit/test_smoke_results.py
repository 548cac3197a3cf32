"""On what a result depends: a key changes with everything that it should, and with nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagekit.smoke import program, results
from imagekit.smoke.check import Check, Figures, Image
from imagekit.smoke.isolate import Result

PACKAGES: list[dict[str, Any]] = [
    {"name": "torch", "version": "2.4.1", "sha256": "t1", "needed_by": ["vision"]},
    {"name": "sympy", "version": "1.13", "sha256": "s1", "needed_by": ["torch"]},
    {"name": "vision", "version": "0.19", "sha256": "v1", "needed_by": []},
    {"name": "six", "version": "1.17", "sha256": "x1", "needed_by": ["profile tiny"]},
]


def body(image: Image) -> Figures:
    return {}


TORCH = Check("it", "cpu", body, covers=("torch",))
BY_ITSELF = Check("alone", "cpu", body)
STATIC = Check("look", "static", body, covers=("six",))


@pytest.fixture(autouse=True)
def around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEKIT_SCOPE", "scope")
    monkeypatch.setenv("IMAGEKIT_IMAGE", "sha256:1")
    monkeypatch.delenv("IMAGEKIT_KNOWN", raising=False)


def image(folder: Path, changed: dict[str, str] | None = None, **facts: Any) -> Image:
    rows = [{**row, "sha256": (changed or {}).get(row["name"], row["sha256"])} for row in PACKAGES]
    (folder / "record").mkdir(parents=True, exist_ok=True)
    (folder / "lock.json").write_text(json.dumps({"torch": "2.4.1", "packages": rows}))
    (folder / "image.json").write_text(json.dumps(facts))
    return Image.load(folder, folder / "venv")


def key(of: Image, check: Check = TORCH) -> str:
    return results.keys([check], of)[check.name]


@pytest.mark.parametrize(("name", "counts"), [("torch", True), ("sympy", True), ("vision", False), ("six", False)])
def test_a_check_depends_on_what_it_covers_and_what_that_needs(tmp_path: Path, name: str, counts: bool) -> None:
    before, after = key(image(tmp_path / "a")), key(image(tmp_path / "b", {name: "other"}))
    assert (before != after) is counts


def test_it_depends_on_the_image_around_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key(image(tmp_path))
    assert key(image(tmp_path, features=["compile"])) != first
    (tmp_path / "record/system.txt").write_text("ffmpeg=7:6\n")
    second = key(image(tmp_path))
    assert second != first
    (tmp_path / "record/built-rest.txt").write_text("abc  torch-2.4.1-py3-none-any.whl\n")
    third = key(image(tmp_path))
    assert third != second
    (tmp_path / "record/built-rest.txt").write_text("abc  torch-2.4.1-py3-none-any.whl\nabc  six-1.whl\n")
    assert key(image(tmp_path)) == third
    monkeypatch.setenv("IMAGEKIT_SCOPE", "other")
    assert key(image(tmp_path)) != third


def test_it_depends_on_the_kind_of_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key(image(tmp_path))
    monkeypatch.setattr(results, "machine", lambda: {"cpu": "another"})
    assert key(image(tmp_path)) != first


def test_only_what_covers_packages_is_taken_from_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(tmp_path)
    before = results.keys([TORCH, BY_ITSELF, STATIC], made)
    monkeypatch.setenv("IMAGEKIT_IMAGE", "sha256:2")
    after = results.keys([TORCH, BY_ITSELF, STATIC], made)
    assert {name for name in before if before[name] == after[name]} == {"it"}


def test_the_code_of_a_check_is_its_file_and_what_that_imports() -> None:
    folder = Path(results.__file__).parent / "checks"
    reached = {folder / "libraries.py"} | set(results._imports(folder / "libraries.py"))
    assert folder / "cuda_libraries.py" in reached


def test_without_a_lock_or_a_scope_nothing_has_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(tmp_path)
    assert results.keys([TORCH], replace(made, locked=False)) == {}
    monkeypatch.setenv("IMAGEKIT_SCOPE", "")
    assert results.keys([TORCH], made) == {}


@pytest.mark.parametrize(("statuses", "trusted"), [
    ({"versions": "PASS", "installed-files": "PASS"}, True), ({"versions": "PASS", "installed-files": "SKIP"}, False),
    ({"versions": "PASS"}, False), ({}, False),
])  # fmt: skip
def test_results_are_taken_over_only_once_the_files_are_the_locked_ones(
    statuses: dict[str, str], trusted: bool
) -> None:
    seen = [Result(name, "static", status) for name, status in statuses.items()]
    assert program._as_locked(seen) is trusted


def test_what_was_proven_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(tmp_path)
    keys = results.keys([TORCH], made)
    options = program._parse([])
    known = {keys["it"]: results.Known("2026-11-19", {"a": 1})}
    (taken,) = program._run([TORCH], "cpu", made, known, keys, options, os.dup(1))
    assert (taken.status, taken.proven, taken.figures, taken.seconds) == ("PASS", "2026-11-19", {"a": 1}, 0)
    (made_now,) = program._run([TORCH], "cpu", made, {}, keys, options, os.dup(1))
    assert (made_now.status, made_now.proven) == ("PASS", "")
