"""Own checks by the program that runs in images, here in a process of its own and with a made-up image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imagekit import resources

FILE = '''"""What we rely on."""
import unittest
STAGE = "static"
LIMIT = 2

def check_good():
    return {"n": 1}

def check_bad():
    assert 1 == 2, "one is not two"

def check_not_here():
    raise unittest.SkipTest("no farm")

def check_raises():
    raise KeyError("x")

def check_exits():
    raise SystemExit(0)

def check_hangs():
    while True:
        pass

def helper():
    raise RuntimeError
'''


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "lock.json").write_text('{"packages": []}')
    (tmp_path / "image.json").write_text("{}")
    return tmp_path


def put(image: Path, place: str, text: str) -> None:
    path = image / "checks" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def program(image: Path, *arguments: str) -> list[dict[str, object]]:
    call = [sys.executable, "-B", str(resources.smoke()), "--root", str(image), "--venv", str(image), *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def only(image: Path, *names: str) -> dict[str, dict[str, object]]:
    rows = program(image, *(part for name in names for part in ("--check", name)))
    return {str(row["check"]): row for row in rows if "check" in row}


def test_every_ending_has_its_word(image: Path) -> None:
    put(image, "acme/ours.py", FILE)
    names = ("good", "bad", "not-here", "raises", "exits", "hangs")
    found = only(image, *(f"acme/{name}" for name in names))
    assert [found[f"acme/{name}"]["status"] for name in names] == ["PASS", "FAIL", "SKIP", "ERROR", "ERROR", "ERROR"]
    assert found["acme/good"]["figures"] == {"n": 1}
    assert found["acme/bad"]["found"] == "one is not two" and "ours.py:10 assert 1 == 2" in str(
        found["acme/bad"]["because"]
    )
    assert found["acme/not-here"]["reason"] == "no farm"


def test_a_file_is_not_run_by_being_listed(image: Path) -> None:
    put(image, "acme/ours.py", f"open({str(image / 'ran')!r}, 'w')\ndef check_a(): pass\n")
    listed = {row["check"]: row for row in program(image, "--list")}
    assert listed["acme/a"]["stage"] == "cpu" and not (image / "ran").exists()
    assert only(image, "acme/a")["acme/a"]["status"] == "PASS" and (image / "ran").exists()


def test_a_broken_file_is_one_error_and_the_others_run(image: Path) -> None:
    put(image, "acme/broken.py", "def check_a(:\n")
    put(image, "acme/fine.py", "STAGE = 'static'\ndef check_fine(): pass\n")
    found = only(image, "acme/broken", "acme/fine")
    assert (found["acme/broken"]["status"], found["acme/fine"]["status"]) == ("ERROR", "PASS")
    assert "line 1" in str(found["acme/broken"]["found"])


def test_files_may_import_what_is_beside_them_and_share_names_of_functions(image: Path) -> None:
    put(image, "acme/_helper.py", "VALUE = 7\n")
    put(image, "acme/one.py", "from _helper import VALUE\ndef check_it(): assert VALUE == 7\n")
    put(image, "acme/two.py", "def check_it(): pass\n")
    put(image, "team/one.py", "def check_it(): pass\n")
    found = only(image, "acme/it", "acme/two/it", "team/it")
    assert {row["status"] for row in found.values()} == {"PASS"} and len(found) == 3
