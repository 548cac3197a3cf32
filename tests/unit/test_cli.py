"""The command line as its users meet it: help, exit codes, data on stdout, words on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import samples

from imagekit import cli
from imagekit.cli.output import Lines
from imagekit.errors import BuildFailed, Error, ImpossibleWish, Interrupted, NotProven, Surroundings, UsageError
from imagekit.lock.model import write

VERBS = [verb for verbs in cli.GROUPS.values() for verb in verbs]
HEAVY = ("docker", "jinja2", "pydantic", "requests", "yaml", "uv", "rich")


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A lock of tiny in the user's folder."""
    path = tmp_path / "locks/tiny/2.4.1-cuda12.1-py311.json"
    write(samples.lock(), path)
    return path


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *[[verb, "--help"] for verb in VERBS]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; sys.argv = ['imagekit', *sys.argv[1:]];"
        "from imagekit.cli import execute; code = execute();"
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    done = python("-c", program, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(verb, "--help")
    assert code == 0 and out.startswith(f"Usage: imagekit {verb}")
    code, out, _ = run("-h")
    assert f"  {verb} " in out


def test_without_a_verb_the_help_is_shown(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run()
    assert code in (0, 2) and "Every day" in out + err


def test_an_unknown_verb_is_answered_with_the_one_that_is_meant(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("biuld", "tiny")
    assert code == 2 and "Did you mean build?" in err and out == ""


@pytest.mark.parametrize(
    "arguments", [["build"], ["build", "tiny", "--nonsense"], ["test", "x", "--gpus", "some"], ["lock", "a", "b"]]
)
def test_a_wrong_command_line(arguments: list[str], run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(*arguments)
    assert code == 2 and out == "" and err


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["lock", "video-lm"], 2, "did you mean video-llm?"),
    (["lock", "tiny", "--torch", "two"], 2, "is not a torch version"),
    (["lock", "tiny", "--with", "not a package!"], 2, "is not a requirement"),
    (["lock", "tiny", "--base", "bookworm"], 2, "distro:bookworm"),
    (["lock", "tiny", "--site", "other.toml"], 2, "other.toml"),
    (["lock", "tiny", "--torch", "2.9", "--cuda", "11.8"], 3, "there is no torch 2.9 for CUDA 11.8"),
    (["plan", "tiny", "--python", "3.99"], 3, "Python 3.99"),
    (["render", "tiny", "--frozen"], 2, "there is no lock"),
    (["render", "tiny", "--locked"], 2, "imagekit lock tiny makes it"),
    (["render", "tiny", "--locked", "--torch", "2.9"], 2, "imagekit lock tiny --torch 2.9.1 --cuda 12.8 makes it"),
])  # fmt: skip
def test_a_refusal_is_one_message_on_stderr(arguments: list[str], code: int, said: str, run) -> None:  # type: ignore[no-untyped-def]
    got, out, err = run(*arguments)
    assert got == code and out == ""
    assert "error: " in err and said in err and "Traceback" not in err


def test_a_refused_wish_shows_what_works(run) -> None:  # type: ignore[no-untyped-def]
    _, _, err = run("build", "video-llm", "--torch", "2.9", "--cuda", "11.8")
    assert "what works, nearest first" in err and "--torch 2.7.1 --cuda 11.8" in err and "nothing was built" in err


@pytest.mark.parametrize(("kind", "code"), [
    (Error, 1), (UsageError, 2), (ImpossibleWish, 3), (Surroundings, 4), (NotProven, 5), (BuildFailed, 6), (Interrupted, 130),
    (KeyboardInterrupt, 130),
])  # fmt: skip
def test_exit_codes(kind: type[BaseException], code: int, run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from imagekit import pipeline

    def fail(*_: object) -> None:
        raise kind("it did not work")

    monkeypatch.setattr(pipeline, "the_site", fail)
    got, out, err = run("lock", "tiny")
    assert got == code and out == "" and "Traceback" not in err
    assert ("it did not work" if isinstance(kind, type) and issubclass(kind, Error) else "interrupted") in err


def test_an_error_shows_details_and_hint() -> None:
    assert str(UsageError("wrong", details=["one", "two"], hint="do it")) == "wrong\n  one\n  two\n  hint: do it"


def test_profiles_are_listed(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("profiles")
    assert code == 0
    assert {"base", "tiny", "video-llm"} <= {line.split()[0] for line in out.splitlines()}


def test_site_as_json(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("site", "--json")
    answer = json.loads(out)
    assert code == 0 and {"applies", "ignored"} <= answer.keys()
    assert {"name", "value", "origin", "why"} == answer["applies"][0].keys()


def test_plan_as_lines_and_json(run, locked: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("plan", "tiny", "--frozen")
    assert code == 0 and "torch 2.4.1" in out and out.splitlines()[-1].startswith("total") and "--frozen" in err
    answer = json.loads(run("plan", "tiny", "--frozen", "--json")[1])
    assert {unit["name"] for unit in answer["units"]} >= {"torch 2.4.1", "six 1.17.0"}
    assert answer["size"] == sum(unit["size"] for unit in answer["units"])


def test_a_dockerfile_on_stdout(run, locked: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("render", "tiny", "--frozen")
    assert code == 0 and err == ""
    assert out.startswith("# tiny: torch 2.4.1+cu121") and "\nFROM " in out


def test_a_context_in_a_folder(run, locked: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("render", "tiny", "--frozen", "-o", "context")
    assert (code, out) == (0, "context\n") and "docker build context" in err
    assert (tmp_path / "context/Dockerfile").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/work.txt").write_text("x")
    code, _, err = run("render", "tiny", "--frozen", "-o", "mine")
    assert code == 2 and "not empty" in err


def test_a_broken_lock_is_named(run, locked: Path) -> None:  # type: ignore[no-untyped-def]
    locked.write_text("{")
    code, _, err = run("plan", "tiny")
    assert code == 2 and "is not a lock of this imagekit" in err


def test_a_reader_that_went_away_is_no_error(locked: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-m", "imagekit", "plan", "tiny", "--frozen"]
    done = subprocess.run(call, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr and done.returncode in (0, 1)


def test_progress_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    say = Lines()
    say("~", "step 1 of 9")
    say("build", "done  ")
    Lines(quiet=True)("build", "nothing")
    assert capsys.readouterr() == ("", "build    done\n")
