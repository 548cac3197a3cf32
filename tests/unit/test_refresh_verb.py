"""`compat refresh` as people call it, and a torch that the facts do not have."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from torch_indexes import (
    FACTS,
    TEXT,
    mirror,
    text_without,
    without,
)

from imagekit import cli
from imagekit.compat import facts, facts_load
from imagekit.compat.rows import FROM_INDEX
from imagekit.errors import Error, ImpossibleWish, Surroundings
from imagekit.refresh import data_file, reading


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Facts of a folder of their own, as of the day before 2.15.0."""
    folder = tmp_path / "facts"
    shutil.copytree(facts.DATA, folder)
    (folder / data_file.FILE).write_text(text_without("2.15.0"))
    (folder / facts_load.COMPILED).unlink(missing_ok=True)
    monkeypatch.setattr(facts, "DATA", folder)
    monkeypatch.chdir(tmp_path)
    facts.load.cache_clear()
    yield folder  # type: ignore[misc]
    facts.load.cache_clear()


def verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["imagekit", *arguments])
    code = cli.execute()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_verb_writes_what_is_new(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    before = (data / data_file.FILE).read_text()
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh", "--dry-run")
    assert code == 0
    assert "new      torch/2.15.0" in out
    assert "+  - version: 2.15.0" in out
    assert "nothing was written to torch.yaml" in err
    assert (data / data_file.FILE).read_text() == before
    code, out, _ = verb(monkeypatch, capsys, "compat", "refresh", "--json")
    assert code == 0
    assert json.loads(out)["written"] is True
    facts.load.cache_clear()
    assert facts.load().release("2.15.0")
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert (code, out) == (0, "")
    assert "nothing is new for torch.yaml" in err
    assert [path.name for path in data.iterdir() if path.name.startswith(".")] == []


def test_compiled_facts_stay_compiled(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / facts_load.COMPILED).write_text(facts.compile_json(data))
    mirror(tmp_path, FACTS.releases)
    assert verb(monkeypatch, capsys, "compat", "refresh")[0] == 0
    assert '"2.15.0"' in (data / facts_load.COMPILED).read_text()
    assert (data / facts_load.COMPILED).stat().st_mtime_ns >= (data / data_file.FILE).stat().st_mtime_ns


def test_an_installed_imagekit_keeps_its_facts(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its wheel has facts.json alone."""
    (data / facts_load.COMPILED).write_text(facts.compile_json(data))
    for path in data.glob("*.yaml"):
        path.unlink()
    mirror(tmp_path, FACTS.releases)
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert code == 0
    assert out.startswith("new      torch/2.15.0")
    assert "---" not in out
    assert "an installed imagekit keeps its facts" in err
    assert [path.name for path in data.iterdir()] == [facts_load.COMPILED]


def test_an_index_that_is_not_there_is_an_error_and_nothing_is_written(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    (tmp_path / "imagekit.toml").write_text('[indexes.pypi]\nurl = "http://127.0.0.1:9/simple"\n')
    before = (data / data_file.FILE).read_text()
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert (code, out) == (4, "")
    assert "the index pypi does not answer" in err
    assert (data / data_file.FILE).read_text() == before


def test_facts_that_cannot_be_written(tmp_path: Path, data: Path) -> None:
    (data / data_file.FILE).unlink()
    (data / data_file.FILE).mkdir()
    with pytest.raises(Error, match="the facts cannot be written"):
        data_file.write(data, TEXT)
    assert [path.name for path in data.iterdir() if path.name.startswith(".")] == []


def test_a_text_that_does_not_read_is_not_written(data: Path) -> None:
    before = (data / data_file.FILE).read_text()
    with pytest.raises(Error, match=r"torch\.yaml"):
        data_file.write(data, before + "  - version: 9.9.9\n")
    assert (data / data_file.FILE).read_text() == before


# --- a torch that the facts do not have


def test_an_unknown_torch_is_taken_only_where_that_is_allowed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    asked = ("explain", "base", "--torch", "2.15", "--base", "distro:trixie")
    code, _, err = verb(monkeypatch, capsys, *asked)
    assert code == 3
    assert "imagekit compat refresh asks the indexes for it; --allow-unknown takes it as its index has it" in err
    code, out, _ = verb(monkeypatch, capsys, *asked, "--allow-unknown")
    assert code == 0
    assert "torch 2.15.0 + CUDA 13.2" in out
    assert "UNKNOWN: torch 2.15.0 is not in the facts" in out
    code, out, err = verb(
        monkeypatch, capsys, "explain", "base", "--torch", "2.14.1", "--base", "distro:trixie", "--allow-unknown"
    )
    assert code == 0
    assert "UNKNOWN" not in out
    code, _, err = verb(monkeypatch, capsys, "explain", "base", "--torch", "2.99", "--allow-unknown")
    assert code == 3
    assert "no index has a torch 2.99" in err


def test_its_image_has_a_label(tmp_path: Path) -> None:
    from imagekit.compat.resolve import resolve
    from imagekit.profile import load, wish

    the_site = mirror(tmp_path, FACTS.releases)
    known = reading.beyond(without("2.15.0"), "2.15", the_site)
    row = known.release("2.15.0")
    assert row
    assert row.sources == (FROM_INDEX,)
    # two builds on the index, and the one that pip takes
    assert [(v.name, v.pypi_default) for v in row.variants] == [("cu130", False), ("cu132", True)]
    made = resolve(load("base", ()), wish(torch="2.15", cuda="13.0", base="distro:trixie"), facts=known)
    assert made.labels["io.imagekit.unknown"].startswith("torch 2.15.0 is not in the facts of 2026-")
    assert made.torch_index == "pytorch"
    sure = resolve(load("base", ()), wish(torch="2.14.1", base="distro:trixie"), facts=known)
    assert "io.imagekit.unknown" not in sure.labels


def test_the_build_of_pip_is_enough(tmp_path: Path) -> None:
    the_site = mirror(tmp_path, FACTS.releases)
    shutil.rmtree(tmp_path / "pytorch")
    row = reading.beyond(without("2.15.0"), "2.15.0", the_site).release("2.15.0")
    assert row
    assert [v.name for v in row.variants] == ["cu132"]
    with pytest.raises(ImpossibleWish, match=r"no index has a torch 2\.15\.9"):
        reading.beyond(FACTS, "2.15.9", the_site)
    shutil.rmtree(tmp_path / "pypi")
    with pytest.raises((ImpossibleWish, Surroundings)):
        reading.beyond(FACTS, "2.16", the_site)
