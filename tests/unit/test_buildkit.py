"""What BuildKit prints becomes steps, and a failure becomes its last lines with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagekit.engines import buildkit, steps
from imagekit.engines.steps import Step
from imagekit.errors import BuildFailed, Surroundings

GOOD = """\
#0 building with "default" instance using docker driver

#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 5.31kB done
#1 DONE 0.0s

#5 [system 1/2] FROM example/base:bookworm
#5 CACHED

#6 [builder 2/3] RUN apt-get update
#6 0.312 Get:1 somewhere
#6 ...

#7 [wheels-rest 1/1] RUN uv pip install
#7 DONE 0.4s

#6 [builder 2/3] RUN apt-get update
#6 1.250 Reading package lists
#6 DONE 2.5s
"""


def read(text: str) -> tuple[dict[str, Step], list[str]]:
    found: dict[str, Step] = {}
    progress: list[str] = []
    for line in text.splitlines():
        steps.read(line, found, progress.append)
    return found, progress


def failure(tmp_path: Path, text: str) -> BuildFailed | Surroundings:
    log = tmp_path / "build.log"
    log.write_text(text)
    return steps.failure(read(text)[0], log)


def failing(*lines: str) -> str:
    body = "".join(f"#9 {n}.5 {line}\n" for n, line in enumerate(lines))
    return f'{GOOD}\n#9 [wheels-torch 2/2] RUN uv pip install\n{body}#9 ERROR: process "/bin/sh" did not complete: exit code: 1\n'


def test_steps_are_counted_as_they_ended() -> None:
    found, progress = read(GOOD)
    assert {number for number, step in found.items() if step.cached} == {"5"}
    assert {number for number, step in found.items() if step.done} == {"1", "5", "6", "7"}
    assert progress == [
        "[system 1/2] FROM example/base:bookworm",
        "[builder 2/3] RUN apt-get update",
        "[wheels-rest 1/1] RUN uv pip install",
    ]


def test_a_step_that_goes_on_keeps_its_lines() -> None:
    assert [line for line in read(GOOD)[0]["6"].lines if not line.startswith("[")] == [
        "Get:1 somewhere",
        "Reading package lists",
    ]


def test_noise_is_no_step() -> None:
    assert read("hello\n#x y\n#\n\nWARNING: No output specified\n") == ({}, [])


@pytest.mark.parametrize(("line", "hint"), [
    ("invalid peer certificate: UnknownIssuer", "does not trust the index's certificate"),
    ("SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed", "tls.ca"),
    ("OSError: [Errno 28] No space left on device", "docker builder prune"),
    ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "--upgrade-package"),
    ("Hash mismatch for `six==1.17.0`", "serves other bytes"),
    ("Because six==1.17.0 has no wheels with a matching Python ABI tag", "no longer on the index"),
    ("Temporary failure resolving 'deb.example'", "check proxies and DNS"),
    ("Temporary failure in name resolution; ERROR: No matching distribution found for uv==0.13.9", "proxies and DNS"),
    ("error sending request for url: Connection refused", "the network"),
    ("E: Unable to locate package libfoo9", "`apt:` does not exist in this base"),
    ("pull access denied, repository does not exist or may require authorization", "imagekit base bootstrap"),
])  # fmt: skip
def test_every_known_cause_has_its_hint(tmp_path: Path, line: str, hint: str) -> None:
    error = failure(tmp_path, failing("before", line))
    assert error.exit_code == 6 and hint in error.hint
    assert "[wheels-torch 2/2]" in error.message and line[:20] in str(error)


def test_a_cause_that_nobody_knows_shows_its_lines_and_the_log(tmp_path: Path) -> None:
    error = failure(tmp_path, failing(*[f"line {n}" for n in range(40)]))
    assert "line 39" in str(error) and "line 3\n" not in str(error) and str(tmp_path / "build.log") in str(error)
    assert len(error.details) <= steps.TAIL + 1 and "known:" not in str(error)


def test_a_failed_build_names_the_known_error(tmp_path: Path) -> None:
    error = failure(tmp_path, failing("cc1plus", "#12 OSError: CUDA_HOME environment variable is not set."))
    assert "known: a package is compiled with CUDA, and there is no toolkit: imagekit diagnose cuda-home" in str(error)
    assert len(error.details) <= steps.TAIL + 2


def test_no_host_and_no_password_in_what_is_shown(tmp_path: Path) -> None:
    shown = str(failure(tmp_path, failing("fetching https://me:s3cret@mirror.example/simple/six/six.whl failed")))
    assert "mirror.example" not in shown and "s3cret" not in shown and "six.whl" in shown


@pytest.mark.parametrize("text", [
    "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n",
    "permission denied while trying to connect to the Docker daemon socket\n",
])  # fmt: skip
def test_an_engine_that_does_not_answer_is_not_a_failed_build(tmp_path: Path, text: str) -> None:
    assert failure(tmp_path, text).exit_code == 4


def test_an_error_before_the_first_step(tmp_path: Path) -> None:
    error = failure(tmp_path, "ERROR: failed to solve: dockerfile parse error on line 3\n")
    assert error.exit_code == 6 and "before its first step" in error.message and "line 3" in str(error)


def test_without_the_docker_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Surroundings) as error:
        buildkit.command()
    assert "docker-buildx" in error.value.hint


def test_an_engine_that_went_away_and_a_step_that_says_the_like(tmp_path: Path) -> None:
    error = failure(
        tmp_path, "#5 [1/2] RUN x\n#5 0.1 working\nERROR: failed to receive status: rpc error: code = Unavailable\n"
    )
    assert isinstance(error, Surroundings) and "does not answer any more" in str(error)
    error = failure(tmp_path, failing("#12 0.3 fatal: connection lost", "#12 transport is closing"))
    assert isinstance(error, BuildFailed)


def test_a_builder_that_does_not_answer(tmp_path: Path) -> None:
    error = failure(tmp_path, "#1 [internal] waiting for connection\n#1 ERROR: timed out\n")
    assert isinstance(error, Surroundings) and "the builder does not answer" in str(error)
