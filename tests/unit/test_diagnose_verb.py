"""`imagekit diagnose`: a text, an id, a log or stdin; lines, JSON and exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from imagekit import cli
from imagekit.diagnose import load

KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
GPU = "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the verb with a text on stdin, None = a terminal: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    class Stdin:
        def __init__(self, content: str | None) -> None:
            self.buffer: BinaryIO = io.BytesIO((content or "").encode())
            self.isatty = lambda: content is None

    def call(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imagekit", "diagnose", *arguments])
        monkeypatch.setattr(sys, "stdin", Stdin(stdin))
        code = cli.execute()
        return (code, *capsys.readouterr())

    return call


def test_a_text(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(KERNEL)
    assert (code, err) == (0, "")
    labels = [line[2:10].strip() for line in out.splitlines()[1:] if line[2:3] != " "]
    assert out.startswith("the ") or "[no-kernel-image]" in out.splitlines()[0]
    assert labels == ["seen", "because", "check", "fix", "more"]
    assert "docs/troubleshooting.md#no-kernel-image" in out


def test_a_text_without_quotes_and_one_of_several_lines(run) -> None:  # type: ignore[no-untyped-def]
    assert "[no-kernel-image]" in run(*KERNEL.split())[1]
    assert "line 2: " in run("Traceback\n" + KERNEL)[1]
    assert run("x" * 10_000 + " " + KERNEL)[0] == 0


def test_an_id(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("nvml-mismatch")
    assert code == 0 and "[nvml-mismatch]" in out and "  seen" not in out


def test_a_log(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "train.log").write_text(f"epoch 1\n{KERNEL}\n", encoding="utf-8")
    code, named, err = run("train.log")
    assert (code, err) == (0, "log      train.log\n") and "line 2: " in named
    assert run("--log", "train.log") == (0, named, "")
    assert run(stdin=f"epoch 1\n{KERNEL}\n") == (0, named, "")
    assert run("--log", "-", stdin=f"epoch 1\n{KERNEL}\n") == (0, named, "")


@pytest.mark.parametrize(("arguments", "stdin", "says"), [
    ([], None, "there is no text to diagnose"),
    (["--log", "-"], None, "there is no text to diagnose"),
    ([], "", "stdin is empty"),
    (["--log", "missing.log"], None, "missing.log cannot be read: No such file"),
    (["--log", "."], None, ". cannot be read: Is a directory"),
    ([KERNEL, "--log", "x"], None, "a text and --log"),
    (["--list", KERNEL], None, "--list takes no text"),
    (["--list", "--log", "x"], None, "--list takes no text"),
])  # fmt: skip
def test_what_is_no_question(run, arguments: list[str], stdin: str | None, says: str) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(*arguments, stdin=stdin)
    assert (code, out) == (2, "") and says in err


def test_an_empty_log_is_no_answer(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty.log").touch()
    code, _, err = run("--log", "empty.log")
    assert code == 2 and "empty.log is empty" in err


def test_nothing_known(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(stdin="start\nMyError: https://u:hunter2@x.example/ is wrong\nend\n")
    assert (code, out) == (1, "")
    assert "nothing in these 3 lines is known" in err and "hunter2" not in err
    assert "2: MyError: https://***@x.example/ is wrong" in err and "imagekit diagnose --list" in err
    assert "nothing in this line is known" in run("hello")[2]


def test_as_json(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("--json", stdin=f"a\n{KERNEL}\n{GPU}\n")
    given = json.loads(out)
    assert (code, err, given["lines"], given["last_error"]["line"]) == (0, "", 3, 3)
    assert [one["id"] for one in given["findings"]] == ["no-kernel-image", "libcuda"]
    first = given["findings"][0]
    assert (first["line"], first["count"], first["text"], first["explains"]) == (2, 1, KERNEL, [])
    assert set(first) == {"id", "title", "line", "text", "count", "because", "check", "fix", "docs", "notice",
                          "sources", "explains"}  # fmt: skip
    code, out, _ = run("--json", "hello")
    assert (code, json.loads(out)) == (1, {"lines": 1, "findings": [], "last_error": None})


def test_the_list(run) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("--list")
    _, as_json, _ = run("--list", "--json")
    names = [fault.id for fault in load.faults()]
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == names
    assert [one["id"] for one in json.loads(as_json)] == names
    assert [line for line in out.splitlines() if line and not line.startswith(" ")][0] == "GPU and driver"
