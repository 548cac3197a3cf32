"""Layers are made once, and a damaged or half-written one is no layer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from imagekit.oci.kept import Kept
from imagekit.oci.layer import Layer


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Kept(tmp_path / "layers")


def writing(data: bytes, calls: list[bytes] | None = None) -> Callable[[IO[bytes]], Layer]:
    def write(out: IO[bytes]) -> Layer:
        out.write(data)
        if calls is not None:
            calls.append(data)
        return Layer(hashlib.sha256(data).hexdigest(), "0" * 64, len(data), 2 * len(data), 1)

    return write


def test_a_layer_is_made_once(shelf: Kept) -> None:
    calls: list[bytes] = []
    first = shelf.take("a", writing(b"one", calls))
    assert shelf.take("a", writing(b"two", calls)) == first
    assert calls == [b"one"] and first[1].read_bytes() == b"one"


def _truncated(blob: Path) -> None:
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1])


def _edited(blob: Path) -> None:
    blob.chmod(0o644)
    blob.write_bytes(b"ONE")


@pytest.mark.parametrize("damage", [_truncated, _edited, Path.unlink, lambda blob: os.utime(blob, ns=(0, 0))])
def test_a_damaged_one_is_made_again(shelf: Kept, damage: Callable[[Path], None]) -> None:
    _, blob = shelf.take("a", writing(b"one"))
    damage(blob)
    assert shelf.find("a") is None
    _, again = shelf.take("a", writing(b"one"))
    assert again.read_bytes() == b"one"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 1}', "null"])
def test_a_damaged_key_is_none(shelf: Kept, text: str) -> None:
    shelf.take("a", writing(b"one"))
    next(shelf.folder.glob("keys/*")).write_text(text)
    assert shelf.find("a") is None


def test_two_keys_of_one_layer_are_both_known(shelf: Kept) -> None:
    """A wheel for every Python is one layer, whichever Python it was made for."""
    shelf.take("3.11", writing(b"one"))
    shelf.take("3.13", writing(b"one"))
    assert shelf.find("3.11") == shelf.find("3.13") is not None


def test_what_is_not_finished_leaves_nothing(shelf: Kept, tmp_path: Path) -> None:
    def write(out: IO[bytes]) -> Layer:
        out.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.take("a", write)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_verify_reads_all(shelf: Kept) -> None:
    _, good = shelf.take("a", writing(b"one"))
    _, bad = shelf.take("b", writing(b"two"))
    status = bad.stat()
    bad.chmod(0o644)
    bad.write_bytes(b"TWO")
    os.utime(bad, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert shelf.find("b")  # it looks the same from outside
    assert shelf.verify() == [bad.name] and shelf.find("b") is None and good.is_file()
