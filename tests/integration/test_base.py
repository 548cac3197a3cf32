"""A base out of distribution packages, interrupted while it is made."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rooms import PATIENCE, Room, docker


def bases() -> str:
    return docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "imagekit/base")


def unpacking(room: Room, process: subprocess.Popen[str]) -> None:
    """Until mmdebstrap has made a root file system and unpacks into it."""
    ends = time.monotonic() + PATIENCE
    while not list((room.cache / "imagekit/tmp").glob(f"{process.pid}-base-*/mmdebstrap.*/var/lib/dpkg/status")):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.05)
    time.sleep(2)


def gone(room: Room, pid: int) -> None:
    """Neither processes nor mounts of that run are there; they get a moment to end."""
    mark = f"{room.cache}/imagekit/tmp/{pid}-"
    ends = time.monotonic() + 30
    while True:
        running = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
        left = [line for line in running.splitlines() if mark in line]
        left += [line for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
        if not left or time.monotonic() > ends:
            break
        time.sleep(0.2)
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_interrupted(room: Room, number: signal.Signals) -> None:
    before = bases()
    process = room.start("base", "bootstrap", "--suite", "bookworm")
    unpacking(room, process)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
    gone(room, process.pid)
    assert bases() == before
    # the next build cleans up after a SIGKILL; what dpkg still unpacked meanwhile goes with the one after it
    ends = time.monotonic() + PATIENCE
    while room.good("build", "tiny") and room.leftovers() and time.monotonic() < ends:
        time.sleep(1)
    assert room.leftovers() == []


def test_killed_outright_while_it_has_mounts(room: Room) -> None:
    process = room.start("base", "bootstrap", "--suite", "bookworm")
    mark = f"{room.cache}/imagekit/tmp/{process.pid}-"
    ends = time.monotonic() + PATIENCE
    while not any(mark in _mounts(place) for place in Path("/proc").glob("[0-9]*/mounts")):
        assert process.poll() is None and time.monotonic() < ends
    assert mark not in Path("/proc/mounts").read_text()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    gone(room, process.pid)


def _mounts(place: Path) -> str:
    try:
        return place.read_text()
    except OSError:  # it has ended
        return ""


def test_this_machines_own_apt_is_left_alone(room: Room) -> None:
    """mmdebstrap ends with an `apt-get update` that forgets its lists: without its configuration, those of this machine."""

    def lists() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in Path("/var/lib/apt/lists").glob("*_*")}

    subprocess.run(["apt-get", "update", "-qq"], check=True)
    before = lists()
    room.good("base", "bootstrap", "--suite", "bookworm")
    assert before and lists() == before
