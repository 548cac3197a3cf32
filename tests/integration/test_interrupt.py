"""Ctrl-C, SIGTERM and SIGKILL at every stage: nothing half made stays, and the next build succeeds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from rooms import PATIENCE, Room, docker, every_step, tags

from imagekit.lock.model import read

Await = Callable[[Room, "subprocess.Popen[str]"], None]


def line(start: str) -> Await:
    """Until a line of that stage is printed."""

    def wait(room: Room, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for text in process.stderr:
            if text.startswith(start):
                return
        pytest.fail(f"it ended without a line that starts with {start!r}")

    return wait


def logged(words: str) -> Await:
    """Until the build's log has these words."""

    def wait(room: Room, process: subprocess.Popen[str]) -> None:
        (profile,) = room.folder.glob("tiny-*.yaml")
        while process.poll() is None:
            if any(words in log.read_text() for log in (room.cache / "imagekit/logs").glob(f"{profile.stem}-*.log")):
                return
            time.sleep(0.005)
        pytest.fail(f"it ended without {words!r} in the log")

    return wait


step = logged("] RUN")


def proof(room: Room, process: subprocess.Popen[str]) -> None:
    """Until a container of this build runs."""
    call = ["docker", "events", "--filter", f"label=io.imagekit.run={process.pid}", "--filter", "event=start"]
    with subprocess.Popen([*call, "--since=1h"], stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout
        assert events.stdout.readline()
        events.terminate()


POINTS = {
    "resolve": line("resolve"),
    "lock": line("lock"),
    "plan": line("plan"),
    "step": step,
    "export": logged("exporting layers"),
    "written": logged("writing image"),
    "prove": proof,
}


def end(process: subprocess.Popen[str], number: int, group: bool = False) -> tuple[int, str]:
    """Send a signal; (exit code, the rest of stderr)."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert out == ""
    return process.returncode, err


def nothing_is_left(room: Room, process: subprocess.Popen[str], name: str) -> None:
    assert docker("ps", "-aq", "--filter", f"label=io.imagekit.run={process.pid}") == ""
    assert [tag for tag in tags() if name in tag] == []
    assert images(name) == set()
    assert room.leftovers() == []
    assert children(process.pid) == []
    for lock in (room.folder / "locks").rglob("*"):
        if lock.is_file():
            assert lock.suffix == ".json" and not lock.name.startswith(".")
            read(lock)


def children(session: int) -> list[str]:
    """Processes of a session that are still there."""
    done = subprocess.run(["ps", "-o", "stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [row for row in done.stdout.splitlines() if not row.startswith("Z")]  # dead, and not yet collected by init


@pytest.mark.parametrize("point", POINTS)
def test_ctrl_c(room: Room, point: str) -> None:
    path, name = room.profile(f'env: {{POINT: "{point}"}}\n')
    with every_step(room, point == "step"):
        process = room.start("build", path)
    POINTS[point](room, process)
    code, err = end(process, signal.SIGINT, group=point in ("resolve", "plan"))
    assert code == 130, err
    assert "interrupted" in err and "Traceback" not in err
    nothing_is_left(room, process, name)
    assert room.good("build", path).stdout.startswith("sha256:")


def test_sigterm_is_an_interrupt(room: Room) -> None:
    path, name = room.profile("")
    with every_step(room):
        process = room.start("build", path)
    step(room, process)
    assert end(process, signal.SIGTERM)[0] == 130
    nothing_is_left(room, process, name)


@pytest.mark.parametrize("point", ["lock", "step", "written", "prove"])
def test_sigkill(room: Room, point: str) -> None:
    """Nobody can clean up after itself then; the next build does, and is not in the way of itself."""
    path, name = room.profile(f'env: {{KILL: "{point}"}}\n')
    with every_step(room, point == "step"):
        process = room.start("build", path)
    POINTS[point](room, process)
    end(process, signal.SIGKILL)
    assert [tag for tag in tags() if name in tag] == []
    if point == "prove":
        assert len(images(name)) == 1, "built, and not named yet"
    for lock in (room.folder / "locks").rglob("*.json"):
        read(lock)
    room.profile('env: {KILL: "never"}\n', name)  # another image, so that the first is nobody's
    image = room.good("build", path).stdout.strip()
    assert images(name) == {image}
    assert docker("ps", "-aq", "--filter", f"label=io.imagekit.run={process.pid}") == ""
    assert room.leftovers() == []
    running = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert f"imagekit/tmp/{process.pid}-" not in running, "the build goes on without its imagekit"


def images(profile: str) -> set[str]:
    """Images of a profile, with and without a name."""
    return set(docker("images", "-aq", "--no-trunc", "--filter", f"label=io.imagekit.profile={profile}").split())


def test_two_builds_at_once_of_one_profile(room: Room) -> None:
    path, _ = room.profile('env: {TWO: "one tag"}\n')
    first, second = room.start("build", path), room.start("build", path)
    answers = [process.communicate(timeout=PATIENCE) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert room.leftovers() == []


def test_two_builds_at_once_of_two_profiles(room: Room) -> None:
    paths = [room.profile(f'env: {{TWO: "{n}"}}\n')[0] for n in (1, 2)]
    both = [room.start("build", path) for path in paths]
    answers = [process.communicate(timeout=PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] != answers[1][0]


def test_a_build_waits_for_another_of_the_same_tag(room: Room) -> None:
    path, _ = room.profile('env: {TWO: "waits"}\n')
    with every_step(room):
        first = room.start("build", path)
    step(room, first)
    second = room.start("build", path)
    assert second.stderr
    seen = []
    for text in second.stderr:
        seen.append(text)
        if "waiting for it" in text:
            break
    assert "waiting for it" in seen[-1]
    answers = [process.communicate(timeout=PATIENCE) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], answers
