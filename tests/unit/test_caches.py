"""What is kept on this machine: shown, shrunk by age, compared with its hashes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from samples import sha256

from imagekit import caches
from imagekit.cli import imagekit
from imagekit.compose import system
from imagekit.errors import UsageError
from imagekit.oci.kept import kept
from imagekit.oci.layer import Layer
from imagekit.wheels import store


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    return tmp_path / "imagekit"


def wheel(data: bytes, used: float) -> Path:
    path = store().add("x-1-py3-none-any.whl", hashlib.sha256(data).hexdigest(), lambda: data)
    os.utime(path, (used, used))
    return path


def layer(data: bytes, used: float) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    _, blob = kept().take(digest, lambda out: (out.write(data), Layer(digest, digest, len(data), len(data), 1))[1])
    os.utime(kept().folder / f"keys/{digest}.json", (used, used))
    return blob


def test_the_oldest_goes_first_whatever_it_is(place: Path) -> None:
    old, middle, new = wheel(b"a" * 100, 1), layer(b"b" * 100, 2), wheel(b"c" * 100, 3)
    assert caches.prune(200) == 100
    assert [path.exists() for path in (old, middle, new)] == [False, True, True]
    assert caches.prune(0) == 200
    assert caches.kinds() == []


def test_layers_in_use_stay(place: Path) -> None:
    first, second = layer(b"b" * 100, 1), wheel(b"c" * 100, 2)
    with kept().in_use():
        assert caches.prune(0) == 0
    assert first.exists() and second.exists()


def test_a_layer_with_two_keys_is_as_old_as_the_newer_one(place: Path) -> None:
    first, second = layer(b"a" * 10, 1), layer(b"b" * 10, 2)
    digest = first.name
    kept().take("again", lambda out: (out.write(b"a" * 10), Layer(digest, digest, 10, 10, 1))[1])
    assert caches.prune(10) == 10
    assert first.exists() and not second.exists() and kept().find("again")


def test_a_blob_of_no_key_goes(place: Path) -> None:
    stays = layer(b"one", 1)
    (kept().folder / "blobs" / ("f" * 64)).write_bytes(b"left")
    assert caches.prune(100) == 4 and stays.exists()


def test_the_size_of_a_root_is_counted_once(place: Path) -> None:
    root = place / "layers/roots/abc"
    root.mkdir(parents=True)
    (root / "file").write_bytes(b"x" * 50)
    assert [(row.name, row.count, row.size) for row in caches.kinds()] == [("roots", 1, 50)]
    (root / "more").write_bytes(b"x" * 50)
    assert caches.kinds()[0].size == 50
    assert caches.prune(0) == 50 and not root.exists() and caches.kinds() == []


def test_whoever_is_killed_leaves_no_part_of_a_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed file by file has another name by then: under its own it would be taken for whole."""
    pruned, trimmed = (place / "layers/roots" / name for name in ("pruned", "trimmed"))
    for root in (pruned, trimmed):
        (root / "usr").mkdir(parents=True)
    os.utime(trimmed, (1, 1))
    seen: list[bool] = []

    def rmdir(path: str, **_: object) -> None:
        """What every rmtree ends with; Debian's tempfile has one of its own."""
        if Path(path).name == "usr":
            seen.append(pruned.exists() or trimmed.exists())

    monkeypatch.setattr(os, "rmdir", rmdir)
    caches.prune(0)
    assert seen == [True, False], "one after the other"
    (trimmed / "usr").mkdir(parents=True)
    os.utime(trimmed, (1, 1))
    system.trim(kept())
    assert seen[2:] == [False] and not trimmed.exists()


def test_what_others_remove_meanwhile_counts_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two builds prune at once: the other one is quicker, whatever this one has just seen."""
    stays = wheel(b"c" * 100, 2)
    gone = wheel(b"a" * 10, 1), layer(b"b" * 10, 1), kept().folder / "keys" / f"{sha256('b' * 10)}.json"
    root = place / "layers/roots/abc"
    root.mkdir(parents=True)
    before = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path in gone:
            path.unlink(missing_ok=True)
        return before(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    assert [(row.name, row.count, row.size) for row in caches.kinds()] == [("wheels", 1, 100), ("roots", 1, 0)]
    assert kept().used() == {} and caches.prune(100) == 0 and stays.exists()


def test_what_others_remove_is_not_damaged(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = wheel(b"a" * 10, 1), layer(b"b" * 10, 1)
    before = Path.open

    def opened(path: Path, *arguments: Any, **more: Any) -> Any:
        if path in gone:
            path.unlink()
        return before(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", opened)
    assert caches.verify() == [] and not any(path.exists() for path in gone)


def test_a_root_that_is_gone_has_no_size(place: Path) -> None:
    """Nothing is noted of it: it would be the size of the one that comes."""
    root = place / "layers/roots/abc"
    root.parent.mkdir(parents=True)
    assert caches._noted(root) == 0 and list(root.parent.iterdir()) == []


def test_the_limit_is_that_of_the_site(place: Path, tmp_path: Path) -> None:
    wheel(b"w" * 2000, 1)
    (tmp_path / "site.toml").write_text("[build]\ncache_gb = 0\n")
    assert CliRunner().invoke(imagekit, ["cache", "prune"]).output == "0 B removed\n"
    done = CliRunner().invoke(imagekit, ["cache", "prune", "--site", str(tmp_path / "site.toml")])
    assert done.output == "2 kB removed\n" and caches.kinds() == []


def test_damaged_ones_are_named_and_gone(place: Path) -> None:
    good, bad = wheel(b"good", 1), wheel(b"bad", 2)
    bad.write_bytes(b"BAD")
    done = CliRunner().invoke(imagekit, ["cache", "verify"])
    assert done.exit_code != 0 and good.exists() and not bad.exists()
    assert CliRunner().invoke(imagekit, ["cache", "verify"]).output == "all are what they were\n"


def test_the_list(place: Path) -> None:
    wheel(b"w" * 2000, 1)
    layer(b"l" * 3000, 1)
    (place / "logs").mkdir()
    (place / "logs/x.log").write_text("x" * 10)
    rows = {row.name: (row.count, row.size) for row in caches.kinds()}
    assert rows == {"wheels": (1, 2000), "layers": (1, 3000), "logs": (1, 10)}
    said = CliRunner().invoke(imagekit, ["cache"]).output
    assert "wheels       2 kB       1  files of packages" in said and "\nengine" not in said
    assert CliRunner().invoke(imagekit, ["cache", "list"]).output == said
    as_json = CliRunner().invoke(imagekit, ["cache", "list", "--json"]).output
    assert as_json == CliRunner().invoke(imagekit, ["cache", "--json"]).output
    assert json.loads(as_json)["wheels"] == {"count": 1, "bytes": 2000}


@pytest.mark.parametrize(("text", "count"), [("20GB", 20 * 10**9), ("1.5 MB", 1_500_000), ("0", 0), ("7k", 7000)])
def test_sizes(text: str, count: int) -> None:
    assert caches.amount(text) == count


@pytest.mark.parametrize("text", ["", "20", "x", "-1GB", "1XB", "1e3GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="no size"):
        caches.amount(text)
