"""The wheel store: only what has the right hash gets in, whoever is interrupted, however many come at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samples import sha256

from imagekit.errors import Surroundings
from imagekit.wheels import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "wheels")


def files(store: Store) -> list[Path]:
    return [path for path in store.folder.rglob("*") if path.is_file()]


def test_in_and_out(store: Store) -> None:
    path = store.add("a.whl", sha256("text"), lambda: b"text")
    assert path == store.path("a.whl", sha256("text")) and path.read_bytes() == b"text"
    assert store.has("a.whl", sha256("text")) and not store.has("b.whl", sha256("text"))
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_is_there_is_not_fetched_again(store: Store) -> None:
    store.add("a.whl", sha256("text"), lambda: b"text")
    store.add("a.whl", sha256("text"), lambda: pytest.fail("fetched twice"))


def test_other_bytes_are_refused_and_nothing_is_left(store: Store) -> None:
    with pytest.raises(Surroundings) as error:
        store.add("a.whl", sha256("text"), lambda: b"something else")
    assert "hash mismatch: a.whl" in error.value.message
    assert sha256("text") in str(error.value) and sha256("something else") in str(error.value)
    assert files(store) == []


def test_an_interrupted_download_leaves_nothing(store: Store) -> None:
    def interrupted() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add("a.whl", sha256("text"), interrupted)
    assert files(store) == []


def test_an_interrupted_write_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.add("a.whl", sha256("text"), lambda: b"text")
    assert files(store) == []


def test_a_full_disk_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Surroundings, match="cannot be written: No space left on device"):
        store.add("a.whl", sha256("text"), lambda: b"text")
    assert files(store) == []


def test_many_at_once(store: Store) -> None:
    """All start to write the same file at the same moment."""
    together = threading.Barrier(8)

    def content() -> bytes:
        together.wait()
        return b"text"

    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: store.add("a.whl", sha256("text"), content), range(8)))
    (path,) = paths
    assert files(store) == [path] and path.read_bytes() == b"text"


def test_a_wheel_in_use_is_young_again(store: Store) -> None:
    path = store.add("a.whl", sha256("text"), lambda: b"text")
    os.utime(path, (1, 1))
    store.add("a.whl", sha256("text"), lambda: b"")
    assert path.stat().st_mtime > 1
