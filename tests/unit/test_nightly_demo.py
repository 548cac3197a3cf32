"""What scripts/nightly-demo makes of three nights: its checks, without the nights."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "scripts/nightly-demo"
OURS = [f"pytorch:{version}-ours" for version in ("2.4.1-cuda12.1", "2.9.1-cuda12.8")]
OTHERS = [f"pytorch:{version}-vision" for version in ("2.4.1-cuda12.1", "2.9.1-cuda12.8")]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("nightly_demo", str(PATH))
    spec = importlib.util.spec_from_loader("nightly_demo", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def record(built: list[str], proven: tuple[str, ...] = ()) -> dict[str, Any]:
    did = dict.fromkeys(built, "built") | dict.fromkeys(proven, "proven")
    cells = [{"tag": tag, "state": "good", "did": did.get(tag, "nothing")} for tag in (*OURS, *OTHERS)]
    return {"cells": [*cells, {"tag": "multimodal --torch 2.9.1", "state": "impossible", "did": "nothing"}]}


@pytest.mark.parametrize(("number", "built", "took", "wrong"), [
    (1, [*OURS, *OTHERS], 900, []),
    (1, OURS, 900, [f"night 1 did not build {tag}" for tag in OTHERS]),
    (2, [], 29.0, []),
    (2, [], 31.4, ["night 2 took 31 s, and 30 are the most"]),
    (2, OURS[:1], 5, [f"night 2 built {OURS[0]}, and nothing of it was touched"]),
    (3, OURS, 900, []),
    (3, [OURS[0], OTHERS[0]], 900, [
        f"night 3 did not build {OURS[1]}", f"night 3 built {OTHERS[0]}, and nothing of it was touched",
    ]),
])  # fmt: skip
def test_each_night_is_what_the_demo_says(
    demo: ModuleType, number: int, built: list[str], took: float, wrong: list[str]
) -> None:
    assert demo.unlike(number, record(built), took) == wrong


def test_a_quiet_night_proves_nothing_and_leaves_a_record(demo: ModuleType) -> None:
    assert demo.unlike(2, record([], tuple(OURS[:1])), 1) == [f"night 2 did something: {OURS[0]} was proven"]
    assert demo.unlike(2, {}, 1) == ["night 2 left no record"]


def test_the_page_names_what_moved(demo: ModuleType, tmp_path: Path) -> None:
    page, moved = tmp_path / "index.html", "sentencepiece 0.2.0 -&gt; 0.2.1"
    assert len(demo.unnamed(page, record(OURS))) == 3
    page.write_text(f"{' '.join(OURS)} packages: {moved}")
    assert demo.unnamed(page, record(OURS)) == []
    page.write_text(f"{OURS[0]} packages: {moved}")
    assert demo.unnamed(page, record(OURS)) == [f"the page does not have {OURS[1]}"]
