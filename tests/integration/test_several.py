"""Several profiles in one command."""

from __future__ import annotations

import json
import os
import signal
import time

from rooms import PATIENCE, Room, docker, every_step, tags


def two(room: Room) -> list[tuple[str, str]]:
    return [room.profile(f'env: {{SEVERAL: "{number}"}}\n') for number in (1, 2)]


def test_both_are_built_and_answered_in_order(room: Room) -> None:
    profiles = two(room)
    done = room.good("build", *(path for path, _ in profiles), "--jobs", "2")
    images = done.stdout.split()
    named = {image: tag for tag, image in tags().items()}
    assert len(images) == 2
    for image, (path, name) in zip(images, profiles, strict=True):
        assert name in named[image]
        lines = [line for line in done.stderr.splitlines() if line.startswith(path)]
        assert [line.removeprefix(path).split()[0] for line in lines if "done  " in line] == ["done"]


def test_as_json(room: Room) -> None:
    profiles = two(room)
    answer = json.loads(room.good("build", *(path for path, _ in profiles), "--json", "--no-test").stdout)
    assert [profiles[n][1] in answer[n]["tags"][0] for n in (0, 1)] == [True, True]
    assert [entry["proof"] for entry in answer] == [None, None]


def test_one_that_fails_does_not_stop_the_other(room: Room) -> None:
    good, _ = room.profile('env: {SEVERAL: "good"}\n')
    bad, _ = room.profile("apt: [no-such-package-anywhere]\n")
    done = room.run("build", bad, good)
    assert done.returncode == 6
    assert done.stdout.count("sha256:") == 1
    assert f"error: 1 of 2 builds failed: {bad} (6)" in done.stderr


def test_what_is_wrong_with_any_is_known_before_one_is_built(room: Room) -> None:
    good, name = room.profile('env: {SEVERAL: "early"}\n')
    bad, _ = room.profile("colour: blue\n")
    done = room.run("build", good, bad, "no-such-profile")
    assert done.returncode == 2
    assert "colour" in done.stderr and "no-such-profile" in done.stderr and "nothing was built" in done.stderr
    assert not [tag for tag in tags() if name in tag]
    assert room.run("build", good, good).returncode == 2


def test_ctrl_c_stops_all(room: Room) -> None:
    profiles = two(room)
    for path, _ in profiles:
        room.good("lock", path)  # without one, a build counts as a large one, and the disk may have room for one only
    with every_step(room):
        process = room.start("build", *(path for path, _ in profiles), "--jobs", "2")
        ends = time.monotonic() + PATIENCE
        logs = room.cache / "imagekit/logs"
        while sum(any("] RUN" in log.read_text() for log in logs.glob(f"{name}-*.log")) for _, name in profiles) < 2:
            assert process.poll() is None and time.monotonic() < ends
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, ""), err
    assert not [tag for tag in tags() for _, name in profiles if name in tag]
    for _, name in profiles:
        assert docker("images", "-aq", "--filter", f"label=io.imagekit.profile={name}") == ""
    assert room.leftovers() == []
