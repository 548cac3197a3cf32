"""Locks: what is written is read, an interrupted write leaves the old one, and a stale one says what changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import samples

from imagekit.compat.resolve import resolve
from imagekit.errors import UsageError
from imagekit.lock import make
from imagekit.lock import model as locks
from imagekit.lock.uv import File, _error, scrub
from imagekit.profile import Wishes, load


@pytest.mark.parametrize("profile", ["tiny", "base", "video-llm"])
def test_a_written_lock_is_read_as_it_was(profile: str, tmp_path: Path) -> None:
    lock = samples.lock(profile)
    path = tmp_path / "a/b/lock.json"
    locks.write(lock, path)
    assert locks.read(path) == lock
    assert path.read_text() == locks.dump(locks.read(path))
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["lock.json"]


def test_the_digest_is_of_the_content() -> None:
    one, same, other = samples.lock(), samples.lock(), samples.lock(created="2026-01-03")
    assert one.digest == same.digest != other.digest


def test_the_date_is_the_same_day_in_every_time_zone() -> None:
    from datetime import datetime, timedelta, timezone

    epoch = samples.lock(created="2026-01-02").epoch
    for hours in (-11, 0, 11):
        assert datetime.fromtimestamp(epoch, timezone(timedelta(hours=hours))).day == 2


def test_an_interrupted_write_leaves_the_old_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock.json"
    locks.write(samples.lock(), path)
    before = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        locks.write(samples.lock("base"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"a"', "{}", '{"version": 1, "who": 2}', "\x00"])
def test_what_is_not_a_lock(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a lock of this imagekit"):
        locks.read(path)


def test_a_lock_of_a_later_imagekit(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({**json.loads(locks.dump(samples.lock())), "invented": "later"}))
    with pytest.raises(UsageError) as error:
        locks.read(path)
    assert "imagekit lock" in error.value.hint


def test_stale_says_what_changed() -> None:
    lock = samples.lock()
    tiny = load("tiny")
    assert locks.stale(lock, resolve(tiny, Wishes())) == ""
    changed = tiny.model_copy(update={"apt": ["jq"], "env": {"A": "1"}})
    assert locks.stale(lock, resolve(changed, Wishes())) == "apt, env"
    assert "torch" in locks.stale(lock, resolve(tiny, Wishes(torch="2.9")))
    assert locks.stale(lock, resolve(tiny, Wishes(packages=("tqdm>=4",)))) == "wants, differs"


def test_one_file_for_each_stack() -> None:
    def name(**wishes: object) -> str:
        return locks.file_name(resolve(load("tiny"), Wishes(**wishes)))  # type: ignore[arg-type]

    names = [
        name(), name(torch="2.9"), name(cuda="11.8"), name(base="distro:jammy"), name(base="image:debian:bookworm-slim"),
        name(packages=("tqdm",)), name(packages=("tqdm>=4",)), name(packages=("tqdm>=3",)),
    ]  # fmt: skip
    assert names[0] == "2.4.1-cuda12.1-py311.json"
    assert len(set(names)) == len(names)


def test_the_wheel_that_an_installer_in_the_image_would_take() -> None:
    resolution = resolve(load("tiny"), Wishes())  # Python 3.11, glibc 2.36

    def best(*names: str) -> str | None:
        found = make._best(tuple(File(name, "", "") for name in names), resolution)
        return found.name if found else None

    pure, abi3 = "x-1-py3-none-any.whl", "x-1-cp38-abi3-manylinux_2_28_x86_64.whl"
    own, legacy = (
        "x-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "x-1-cp311-cp311-manylinux1_x86_64.whl",
    )
    assert best(pure, abi3, own, legacy) == own
    assert best(pure, abi3) == abi3
    assert best(legacy, abi3) == legacy
    assert best(pure) == pure
    assert best("x-1-cp312-cp312-manylinux_2_17_x86_64.whl", "x-1-cp311-cp311-musllinux_1_2_x86_64.whl") is None
    assert best("x-1-cp311-cp311-manylinux_2_39_x86_64.whl", "x-1-cp311-cp311-macosx_11_0_arm64.whl") is None
    assert best("x-1-cp311-cp311-manylinux_2_17_aarch64.whl", "x-1-cp311-cp311t-manylinux_2_17_x86_64.whl") is None


@pytest.mark.parametrize(("stderr", "code", "said"), [
    ("Because sixx was not found in the package registry and you require sixx, unsatisfiable", 3, "package named sixx"),
    ("No solution found: wheels: `acme` because building from source is disabled", 3, "only its source"),
    ("No solution found when resolving: Because six<1 and you require six>2", 3, "no set of versions fits"),
    ("invalid peer certificate: UnknownIssuer", 4, "certificate is not trusted"),
    ("error sending request for url (https://a.example/six/) Connection refused", 4, "does not answer"),
    ("No space left on device (os error 28)", 4, "no space left"),
    ("something else", 4, "uv could not resolve"),
])  # fmt: skip
def test_what_uv_says_in_the_words_of_a_user(stderr: str, code: int, said: str) -> None:
    error = _error(stderr)
    assert error.exit_code == code and said in error.message


def test_hosts_and_passwords_are_scrubbed() -> None:
    text = scrub("Failed to fetch: `https://me:s3cret@mirror.example/simple/six/` or file:///srv/private/simple/six/")
    assert "s3cret" not in text and "mirror.example" not in text and "/srv" not in text
    assert text.count("<index>/six") == 2
