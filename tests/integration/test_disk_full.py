"""A disk that is full, at each stage of a build: an error with a hint, nothing half written, and room mends it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rooms import Room

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk")


@dataclass
class Disk:
    path: Path

    def has(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """In memory; what is written there counts at once."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=True)
    yield Disk(place)
    subprocess.run(["umount", str(place)], check=True)


def full(room: Room, *call: str) -> str:
    done = room.run(*call)
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
    assert room.leftovers() == []
    return done.stderr


SIZES = (
    pytest.param("1m", "no space left", id="lock"),
    # wheels and both systems are had at once: whoever asks for the last bytes is told
    pytest.param("20m", "there is no room for a system|wheels cannot be written: No space", id="lists of packages"),
    pytest.param("200m", "there is no room for a system", id="system"),
    pytest.param("420m", r"is there room on the disk\?", id="proof"),
)


@pytest.mark.parametrize(("size", "said"), SIZES)
def test_of_the_caches(alone: Room, disk: Disk, size: str, said: str) -> None:
    small = replace(alone, cache=disk.path)
    disk.has(size)
    call = ("build", "tiny", "--engine", "compose", "--output", "oci:out")
    assert re.search(said, full(small, *call))
    assert not (alone.folder / "out").exists()
    if size == "420m":
        disk.has("2g")
        assert small.good(*call).stdout.startswith("oci:out:")


@pytest.mark.parametrize("kind", ["oci:{}/out", "archive:{}/tiny.tar"])
def test_of_the_output(alone: Room, disk: Disk, kind: str) -> None:
    output = kind.format(disk.path)
    call = ("build", "tiny", "--engine", "compose", "--no-test", "--output", output)
    disk.has("30m")
    assert "cannot be written: No space left on device" in full(alone, *call)
    assert list(disk.path.iterdir()) == []
    disk.has("500m")
    alone.good(*call)


def test_of_a_bundle(alone: Room, disk: Disk) -> None:
    bundle = str(disk.path / "bundle")
    disk.has("30m")
    full(alone, "fetch", "tiny", "--to", bundle)
    assert list(disk.path.iterdir()) == []
    disk.has("500m")
    alone.good("fetch", "tiny", "--to", bundle)
    before = sorted(path for path in disk.path.rglob("*") if path.is_file())
    disk.has("75m")
    assert "cannot be written: No space left on device" in full(
        alone, "fetch", "tiny", "--with", "numpy", "--to", bundle
    )
    assert sorted(path for path in disk.path.rglob("*") if path.is_file()) == before


def test_of_records(alone: Room, disk: Disk) -> None:
    alone.good("lock", "tiny")
    small = replace(alone, extra={**alone.extra, "XDG_STATE_HOME": str(disk.path)})
    (disk.path / "filler").write_bytes(b"\0" * (1 << 20))
    assert "no space left" in full(small, "build", "tiny", "--engine", "compose", "--no-test", "--output", "oci:out")
