"""`imagekit explain`: every version, who asked for it, and the rule and fact behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagekit import explain, locking
from imagekit.cli.explain import command
from imagekit.compat import facts
from imagekit.compat.resolve import resolve
from imagekit.explain import Branch
from imagekit.lock.model import Lock, read
from imagekit.profile import Wishes, load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def locked(name: str) -> Lock:
    profile = load(name)
    return read(locking.path_of(profile, resolve(profile, Wishes())))


def tree(name: str, lock: bool = True) -> Branch:
    known = locked(name)
    return explain.tree(known.resolution, known if lock else None, facts.load())


def every(branch: Branch) -> list[Branch]:
    return [branch, *(found for below in branch.below for found in every(below))]


@pytest.mark.parametrize("name", ["video-llm", "multimodal", "vision", "base"])
def test_every_locked_package_is_there_once_with_who_needs_it(name: str) -> None:
    lock = locked(name)
    groups = [
        branch for branch in tree(name).below if "package" in branch.text.split()[1:2] or "packages" in branch.text
    ]
    rows = [row for group in groups for row in group.below if "that" in group.text]
    assert sorted(row.text for row in rows) == sorted(f"{p.name} {p.version}" for p in lock.packages)
    assert all(row.because for row in rows)


def test_who_asked() -> None:
    rows = {row.text.split()[0]: row for row in every(tree("video-llm"))}
    assert rows["transformers"].because == "profile video-llm: transformers >=4.46,<5"
    assert rows["pillow"].because == "stands in: pillow-simd is installed in its place"
    assert rows["filelock"].because.startswith("needed by torch and")
    assert rows["setuptools"].because == "fact triton-setuptools"


def test_the_rule_and_the_fact_behind_a_version() -> None:
    top = {row.text: row for row in tree("video-llm").below}
    assert top["torch 2.4.1"].fact == "torch/2.4.1"
    (wheel,) = top["torch 2.4.1"].below
    assert "cuDNN 9.1.0.70" in wheel.text and wheel.fact == "torch/2.4.1/cu121"
    assert [row.fact for row in top["cuda 12.1"].below] == ["cuda/12.1"]
    facts_named = {row.fact for row in every(tree("video-llm"))}
    assert {"os/bookworm", "features/nvdec", "pillow-simd-avx2"} <= facts_named


def test_without_a_lock_only_what_was_asked_is_known() -> None:
    rows = {row.text: row for row in every(tree("video-llm", lock=False))}
    assert "transformers >=4.46,<5" in rows and not any(text.startswith("filelock") for text in rows)


def test_it_is_drawn_in_ascii() -> None:
    leaf = Branch("leaf", "because", "fact/1")
    drawn = explain.lines(Branch("top", below=(Branch("a", below=(leaf,)), leaf)))
    assert drawn == ["top", "|- a", "|  `- leaf   because   [fact/1]", "`- leaf   because   [fact/1]"]


def test_the_command() -> None:
    done = CliRunner().invoke(command, ["video-llm"])
    assert done.exit_code == 0 and done.output.isascii()
    assert done.output.startswith("video-llm: torch 2.4.1 + CUDA 12.1 (cu121), Python 3.11, Debian 12\n|- torch 2.4.1")
    raw = json.loads(CliRunner().invoke(command, ["video-llm", "--json"]).output)
    assert raw["text"].startswith("video-llm") and raw["below"][0]["fact"] == "torch/2.4.1"
    assert not Path("locks").exists()
