"""What users get for their CI, and what this project has itself: read by the tools of the field."""

from __future__ import annotations

import os
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
    """It builds from its own checkout, and that is the only difference. Whoever calls it from elsewhere gets a release."""
    assert (OWN / "images.yml").read_text() == starter.for_ci("github", ".")
    called = yaml.safe_load((OWN / "images.yml").read_text())[True]["workflow_call"]  # `on` is a truth of YAML 1.1
    assert called["inputs"]["imagekit"]["default"] == f"imagekit=={__version__}"


@pytest.mark.parametrize(
    ("service", "path"), [("github", ".github/workflows/images.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_init_ci(run: Run, tmp_path: Path, service: str, path: str) -> None:
    code, out, err = run("init", "ci", f"--{service}")
    assert (code, out) == (0, f"{path}\n"), err
    text = (tmp_path / path).read_text()
    assert f"imagekit=={__version__}" in text and not re.search(r"@[A-Z]+@", text)
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


def on_a_gpu(service: str) -> str:
    """The lines of the job `gpu` that prove an image and tell it."""
    found: dict[str, Any] = yaml.safe_load(starter.for_ci(service))
    job = found["jobs"]["gpu"] if service == "github" else found["gpu"]
    lines = [step.get("run", "") for step in job["steps"]] if service == "github" else job["script"]
    (told,) = [text for text in lines if "evidence" in text]
    return str(told)


@pytest.mark.parametrize("service", ["github", "gitlab"])
@pytest.mark.parametrize(
    ("test", "evidence", "code"), [(5, 0, 5), (0, 0, 0), (4, 2, 4), (0, 3, 3)],
    ids=["not proven", "proven", "nothing to tell", "not told"],
)  # fmt: skip
def test_a_proof_on_a_gpu_is_told_also_when_it_failed(
    tmp_path: Path, service: str, test: int, evidence: int, code: int
) -> None:
    calls, programs = tmp_path / "calls", tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "imagekit").write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\ncase $1 in\n  matrix) echo h/p:a; [ $3 != images ] || echo h/p:b;;\n'
        f"  test) exit {test};;\n  evidence) exit {evidence};;\nesac\n"
    )
    (programs / "docker").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path), "NAME": "b"}
    shell = ["bash", "-e"] if service == "github" else ["bash", "-eo", "pipefail"]
    done = subprocess.run([*shell, "-c", on_a_gpu(service)], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == code
    images = ["h/p:b"] if service == "github" else ["h/p:a", "h/p:b"]
    assert calls.read_text().splitlines()[1:] == [
        line for image in images for line in (f"test {image} --require-gpu", f"evidence {image} --to registry:{image}")
    ]


def test_an_image_that_cannot_be_pulled_stops_no_other(tmp_path: Path) -> None:
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "imagekit").write_text('#!/bin/sh\n[ $1 != matrix ] || echo h/p:a h/p:b\necho "$*" >>calls\n')
    (programs / "docker").write_text("#!/bin/sh\n[ $3 != h/p:a ]\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-e", "-c", on_a_gpu("gitlab")], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 4
    assert (tmp_path / "calls").read_text().splitlines()[1:] == [
        "test h/p:b --require-gpu", "evidence h/p:b --to registry:h/p:b",
    ]  # fmt: skip


def test_whoever_is_told_is_known_to_each_night() -> None:
    found: dict[str, Any] = yaml.safe_load(starter.for_ci("github"))
    steps = [step for job in found["jobs"].values() for step in job["steps"] if " nightly " in step.get("run", "")]
    assert [step["env"]["CHAT_WEBHOOK"] for step in steps] == ["${{ secrets.CHAT_WEBHOOK }}"] * 2
