"""What pip installs: an editable install would hide a template, profile or fact that is missing from the wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a fresh environment with imagekit installed from the checkout, not editable."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    pip = [folder / "venv/bin/python", "-m", "pip", "install", "-q", str(ROOT)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "venv/bin"


def test_the_wheel_has_templates_profiles_locks_and_facts(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "imagekit", "render", "video-llm"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "tests/golden/video-llm/Dockerfile").read_text()


def test_python_m_imagekit(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "python", "-m", "imagekit", "profiles"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "video-llm" in done.stdout


def test_the_facts_are_read_as_json(installed: Path) -> None:
    code = "import sys; from imagekit.compat import facts; facts.load(); print('yaml' in sys.modules)"
    done = subprocess.run([installed / "python", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "False"


def test_the_known_errors_are_read_as_json(installed: Path) -> None:
    code = "import sys; from imagekit.diagnose import load; print(len(load.faults()) >= 30, 'yaml' in sys.modules)"
    done = subprocess.run([installed / "python", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "True False"
