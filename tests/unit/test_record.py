"""The record of each build, and what drifted between two."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagekit import record
from imagekit.record import Record


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def make(key: str = "a" * 64, **changes: object) -> Record:
    fields = {
        "tag": "pytorch:2.4.1-cuda12.1-tiny", "key": key, "created": "20260102", "image": "sha256:1", "lock": "l", "base": "b",
        "torch": "2.4.1+cu121", "cuda": "12.1", "python": "3.11", "system": {"openssl": "3.0.1"}, "built": {}, "packages": {},
    }  # fmt: skip
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def test_what_is_saved_is_there() -> None:
    record.save(make())
    assert record.all_of(make().tag) == [make()]
    assert record.all_of("pytorch:other") == []


def test_the_same_build_again_replaces_its_record() -> None:
    record.save(make())
    record.save(make(proven="20260103"))
    assert [entry.proven for entry in record.all_of(make().tag)] == ["20260103"]


def test_oldest_first_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEEP", 3)
    for number in range(5):
        path = record.save(make(f"{number}" * 64))
        os.utime(path, (number, number))
    record.save(make("5" * 64))
    assert [entry.key[0] for entry in record.all_of(make().tag)] == ["3", "4", "5"]


def test_a_record_that_cannot_be_read_is_passed_over() -> None:
    path = record.save(make())
    (path.parent / "broken.json").write_text("{")
    (path.parent / "other.json").write_text("[]")
    assert record.all_of(make().tag) == [make()]


def test_a_record_of_a_later_imagekit_is_read() -> None:
    path = record.save(make())
    path.write_text(path.read_text().replace("{", '{"later": 1,', 1))
    assert record.all_of(make().tag) == [make()]


def test_drift() -> None:
    old, new = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert record.changes(old, new) == ["b 1 -> 2", "c 1 -> none", "d none -> 1"]
    assert record.changes(old, old) == []


def test_an_interrupted_save_leaves_no_half_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.save(make())
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        record.save(make("b" * 64))
    assert record.all_of(make().tag) == [make()]
