"""What users get for their CI, and what this project has itself: read by the tools of the field."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagekit import __version__, starter

Run = Callable[..., tuple[int, str, str]]
OWN = Path(__file__).parents[2] / ".github/workflows"


def test_this_project_has_what_its_users_get() -> None:
    """It builds from its own checkout, and that is the only difference."""
    assert (OWN / "images.yml").read_text() == starter.for_ci("github", ".")


@pytest.mark.parametrize(
    ("service", "path"), [("github", ".github/workflows/images.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_init_ci(run: Run, tmp_path: Path, service: str, path: str) -> None:
    code, out, err = run("init", "ci", f"--{service}")
    assert (code, out) == (0, f"{path}\n"), err
    text = (tmp_path / path).read_text()
    assert f'IMAGEKIT: "imagekit=={__version__}"' in text and "@IMAGEKIT@" not in text
    assert "REGISTRY_PASSWORD" in text and yaml.safe_load(text)
    assert run("init", "ci", f"--{service}")[0] == 2, "what is there stays"
    assert run("init", "ci", f"--{service}", "--force")[0] == 0


@pytest.mark.parametrize(
    "arguments", [("ci",), ("ci", "--github", "--gitlab"), ("--github",), ("requirements.txt", "--gitlab")]
)
def test_one_service_is_named(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run("init", *arguments)
    assert code == 2 and "--github or --gitlab" in err


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--format", "plain", OWN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "No findings" in done.stdout, done.stdout


@pytest.mark.skipif(
    not shutil.which("actionlint"), reason="actionlint is not installed: no package index has a build of it"
)
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint", *OWN.glob("*.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(OWN.glob("*.yml")), ids=lambda path: path.stem)
def test_a_workflow_is_careful(path: Path) -> None:
    """Pinned by commit, with few rights, an end to its time, and no text of others in a shell."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    assert "permissions" in found
    for job in found["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert re.fullmatch(r".+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}")), step
            assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_verbs_and_options_exist(run: Run, service: str) -> None:
    """Each call of imagekit in a file of CI is one that its command line takes."""
    calls = re.findall(r"/bin/imagekit\"? ([^|)\n]+)", starter.for_ci(service))
    assert len(calls) >= 5
    for call in calls:
        words = [word.strip("\"';") for word in call.split() if word not in ("&&", "||")]
        _, out, _ = run(words[0], "--help")
        for option in (word for word in words if word.startswith("--")):
            assert option in out, call
