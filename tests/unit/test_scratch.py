"""Whose temporary folders are still somebody's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imagekit import scratch


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "imagekit/tmp"


def a_dead_one() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_this_process_is_alive_and_an_ended_one_is_not() -> None:
    assert scratch.alive(str(os.getpid())) and scratch.alive(str(os.getpid()), time.time())
    assert not scratch.alive(str(a_dead_one()))
    assert scratch.alive("not-a-process")


def test_a_process_that_started_later_did_not_make_it() -> None:
    assert not scratch.alive(str(os.getpid()), time.time() - 10 * 365 * 86400)


def test_the_id_of_a_thread_is_no_process() -> None:
    ids: list[int] = []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: (ids.append(threading.get_native_id()), stop.wait(30)))
    thread.start()
    try:
        while not ids:
            time.sleep(0.01)
        assert not scratch.alive(str(ids[0]))
    finally:
        stop.set()
        thread.join()


def test_folders_of_dead_processes_go_and_their_images_are_told(cache: Path) -> None:
    dead = a_dead_one()
    (cache / f"{dead}-build-x").mkdir(parents=True)
    image = cache / f"{dead}-image-x"
    image.mkdir()
    mine = cache / f"{os.getpid()}-build-y"
    mine.mkdir()
    with scratch.folder("new") as folder:
        assert folder.is_dir() and mine.is_dir()
        assert not (cache / f"{dead}-build-x").exists()
        assert scratch.left(scratch.IMAGE) == [image]
    assert not folder.exists()


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), scratch.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        reached.append(True)
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
