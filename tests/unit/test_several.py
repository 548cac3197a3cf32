"""When builds side by side start: as many as wanted, and as the disk has room for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from imagekit import several
from imagekit.errors import Surroundings, UsageError
from imagekit.several import Job


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of imagekit: notes its start, waits for as many starts as its third argument says, ends with the second."""
    log = tmp_path / "log"
    package = tmp_path / "imagekit"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        f"import sys, time\nlog = open({str(log)!r}, 'a')\n"
        "log.write(f'start {sys.argv[1]}\\n'); log.flush()\n"
        "wanted, ends = int(sys.argv[3]), time.monotonic() + 30\n"
        f"while open({str(log)!r}).read().count('start') < wanted and time.monotonic() < ends: time.sleep(0.01)\n"
        "print(sys.argv[1].upper()); print('a line', file=sys.stderr)\n"
        "log.write(f'end {sys.argv[1]}\\n'); log.flush(); sys.exit(int(sys.argv[2]))\n"
    )
    monkeypatch.chdir(tmp_path)
    return log


def run(
    jobs: list[Job], at_once: int = 2, free: int | None = None
) -> tuple[list[several.Outcome], list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    done = several.run(jobs, at_once=at_once, free_disk=lambda: free, say=lambda name, line: said.append((name, line)))
    return done, said


def test_outcomes_are_in_order_and_one_failure_stops_nobody(program: Path) -> None:
    done, said = run([Job("a", ("a", "6", "1")), Job("b", ("b", "0", "1"))])
    assert [(entry.name, entry.code, entry.stdout) for entry in done] == [("a", 6, "A\n"), ("b", 0, "B\n")]
    assert sorted(said) == [("a", "a line"), ("b", "a line")]


def test_no_more_at_once_than_wanted(program: Path) -> None:
    run([Job(name, (name, "0", "1")) for name in "ab"], at_once=1)
    assert program.read_text().split("\n")[:3] == ["start a", "end a", "start b"]


def test_a_full_disk_makes_them_wait_for_each_other(program: Path) -> None:
    _, said = run([Job(name, (name, "0", "1"), disk=60_000_000) for name in "ab"], free=100_000_000)
    assert program.read_text().split("\n")[:3] == ["start a", "end a", "start b"]
    assert said[0] == ("b", "waits    100 MB of disk are too little for it beside a")


def test_one_alone_starts_even_so_and_says_itself_what_is_wrong(program: Path) -> None:
    done, _ = run([Job("a", ("a", "4", "1"), disk=200)], free=100)
    assert done[0].code == 4


def test_side_by_side_where_there_is_room(program: Path) -> None:
    run([Job(name, (name, "0", "2"), disk=40) for name in "ab"], free=100)
    assert sorted(program.read_text().split("\n")[:2]) == ["start a", "start b"]


LINES = 20_000
"""More of them than a pipe takes."""


@pytest.fixture
def talker(program: Path) -> Path:
    """It says much, with bytes that are no text, and notes that it came to its end."""
    (program.parent / "imagekit/__main__.py").write_text(
        "import pathlib, sys\n"
        f"sys.stderr.buffer.write(b'a long line \\xff of it\\n' * {LINES}); sys.stderr.flush()\n"
        f"pathlib.Path({str(program)!r}).write_text('end')\n"
    )
    return program


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(OSError(errno.ENOSPC, "No space left on device"), "what a says cannot be kept: No space left on device"),
     (UsageError("of its own"), "of its own")],
)  # fmt: skip
def test_what_cannot_be_said_holds_no_build(talker: Path, wrong: Exception, told: str) -> None:
    """Its pipe is read to the end; then the first thing that went wrong is told, once."""

    def say(_: str, line: str) -> None:
        said.append(line)
        if len(said) == 1:
            raise wrong
        raise ValueError("a later one")

    said = list[str]()
    with pytest.raises((Surroundings, UsageError)) as caught:
        several.run([Job("a", ())], at_once=1, free_disk=lambda: None, say=say)
    assert caught.value.message == told and (wrong is caught.value or "disk" in caught.value.hint)
    assert talker.read_text() == "end" and len(said) == LINES


def test_bytes_that_are_no_text_are_said_as_well_as_it_goes(talker: Path) -> None:
    done, said = run([Job("a", ())])
    assert done[0].code == 0 and said == [("a", "a long line \ufffd of it")] * LINES
