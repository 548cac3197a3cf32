"""`imagekit build tiny` from end to end: what it prints, which tags move, what the image is."""

from __future__ import annotations

import json
import re
import subprocess
from xml.etree import ElementTree

import pytest
from rooms import Room, docker, files_of, secret, tags

Built = tuple[Room, "subprocess.CompletedProcess[str]"]
PROFILE_TAG = "pytorch:2.4.1-cuda12.1-tiny"


def test_stdout_is_one_line_that_docker_run_takes(built: Built) -> None:
    _, done = built
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", done.stdout)
    assert (
        docker(
            "run",
            "--rm",
            "--network=none",
            done.stdout.strip(),
            "python",
            "-c",
            "import torch; print(torch.__version__)",
        )
        == "2.4.1+cu121"
    )


def test_stderr_is_short_and_starts_each_stage_with_its_name(built: Built) -> None:
    lines = built[1].stderr.splitlines()
    stages = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    # an engine without anything gets its base first; another test may have fetched the wheels
    first = [stage for stage in ("base", "fetch") if stage in stages]
    assert stages == ["resolve", "lock", "plan", *first, "build", "prove", "tag", "done"]
    assert len(lines) <= 25
    assert "standin" not in built[1].stderr and str(built[0].index) not in built[1].stderr
    assert PROFILE_TAG in lines[-1]


def test_tags_are_the_profiles_own_and_the_bare_one_is_not_touched(built: Built) -> None:
    _, done = built
    image = done.stdout.strip()
    mine = sorted(tag for tag, id in tags().items() if id == image)
    assert PROFILE_TAG in mine
    assert any(re.fullmatch(rf"{PROFILE_TAG}-\d{{8}}-[0-9a-f]{{7}}", tag) for tag in mine)
    bare = docker("images", "--no-trunc", "-q", "pytorch:2.4.1-cuda12.1")
    assert bare != image


def test_a_second_build_changes_nothing(built: Built) -> None:
    room, first = built
    second = room.good("build", "tiny", "--locked")
    assert second.stdout == first.stdout
    assert "moved" not in second.stderr and second.stderr.count("unchanged") >= 2
    assert room.leftovers() == []


def test_the_proof_works_by_image_and_by_profile(built: Built) -> None:
    room, done = built
    image = done.stdout.strip()
    by_image, by_profile = room.good("test", image), room.good("test", "tiny")
    assert by_image.stdout == by_profile.stdout == f"{image}\n"
    assert "is proven" in by_image.stderr


def test_reports_as_json_and_junit(built: Built) -> None:
    room, done = built
    answer = json.loads(room.good("test", "tiny", "--json", "--junit", "report.xml").stdout)
    assert answer["proven"] is True and answer["image"] == done.stdout.strip()
    names = {check["check"] for check in answer["checks"]}
    assert {"versions", "imports", "pip-check", "user", "env"} <= names
    suite = ElementTree.parse(room.folder / "report.xml").getroot()
    assert suite.tag == "testsuite" and int(suite.get("tests", "0")) == len(answer["checks"])
    assert suite.get("failures") == suite.get("errors") == "0"
    assert {case.get("name") for case in suite} == names


def test_one_check_alone(built: Built) -> None:
    answer = json.loads(built[0].good("test", PROFILE_TAG, "--check", "versions", "--json").stdout)
    assert [check["check"] for check in answer["checks"]] == ["versions"]


def test_an_unknown_check_is_told_with_those_there_are(built: Built) -> None:
    done = built[0].run("test", PROFILE_TAG, "--check", "no-such-check")
    assert done.returncode != 0
    assert "no-such-check" in done.stderr and "versions" in done.stderr


def test_build_as_json(built: Built) -> None:
    room, done = built
    answer = json.loads(room.good("build", "tiny", "--json").stdout)
    assert answer["image"] == done.stdout.strip()
    assert answer["tags"][0] == PROFILE_TAG
    assert answer["proof"]["proven"] is True
    assert answer["record"]["packages"]["torch"] == "2.4.1" and answer["record"]["system"]["python3"]


@pytest.mark.parametrize("user", ["4321", "4321:4321", "0"])
def test_any_user_can_work(built: Built, user: str) -> None:
    program = (
        "import getpass, os, pathlib, torch, six;"
        "[pathlib.Path(p, 'mine').write_text('x') for p in (os.environ['HOME'], '/workspace', '/cache', os.environ['HF_HOME'])"
        " if not os.makedirs(p, exist_ok=True)];"
        "print(os.getuid(), getpass.getuser(), os.getcwd())"
    )
    group = [] if user != "4321:4321" else ["--group-add", "0"]
    said = docker("run", "--rm", "--network=none", "-u", user, *group, built[1].stdout.strip(), "python", "-c", program)
    assert said == f"{user.split(':')[0]} imagekit /workspace"


def test_teams_can_build_on_top(built: Built) -> None:
    """pip is there, and holds what is locked."""
    image = built[1].stdout.strip()
    call = ["run", "--rm", "--network=none", "-u", "0", image, "pip"]
    assert "six" in docker(*call, "list")
    refused = subprocess.run(["docker", *call, "install", "six==1.0"], capture_output=True, text=True)
    assert refused.returncode != 0


def test_the_image_tells_what_it_is(built: Built) -> None:
    room, done = built
    labels = json.loads(docker("inspect", "-f", "{{json .Config.Labels}}", done.stdout.strip()))
    assert labels["io.imagekit.profile"] == "tiny"
    assert labels["io.imagekit.lock"] == f"sha256:{room.lock().digest}"
    config = docker("inspect", "-f", "{{json .Config}}", done.stdout.strip())
    assert "standin" not in config and str(room.index) not in config and "NVIDIA_VISIBLE_DEVICES" not in config


def test_history_and_files_hold_no_trace_of_the_index(built: Built) -> None:
    room, done = built
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", done.stdout.strip())
    assert str(room.index) not in history and "file://" not in history


def test_a_rendered_context_builds_without_imagekit(built: Built) -> None:
    room, done = built
    context = room.good("render", "tiny", "-o", "context").stdout.strip()
    name = "pytorch:2.4.1-cuda12.1-tiny-plain"
    subprocess.run(
        ["docker", "build", "-q", "-t", name, *secret(), context], cwd=room.folder, check=True, capture_output=True,
        env={**room.environment, "DOCKER_BUILDKIT": "1"},
    )  # fmt: skip
    ours, theirs = files_of(done.stdout.strip()), files_of(name)
    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} == set()
    assert len(ours) > 1000
