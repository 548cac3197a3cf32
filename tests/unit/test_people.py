"""`profiles` without an engine or a network, and completion as a shell asks for it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import cli_page
import pytest
import samples

from imagekit import cli, menu, record, site
from imagekit.lock.model import write
from imagekit.menu import Entry

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGEKIT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def entries(size: int | None = None) -> dict[str, Entry]:
    return {entry.name: entry for entry in menu.menu(site.load(), lambda _: size)}


def test_sizes_are_those_of_the_wheels_without_an_image() -> None:
    found = entries()["video-llm"]
    assert found.size_of == "wheels" and 2e9 < (found.size or 0) < 4e9
    assert (found.torch, found.cuda, found.python) == ("2.4.1", "12.1", "3.11") and found.proven == ""
    assert "GB wheels" in menu.line(found) and "not proven here" in menu.line(found)


def test_sizes_are_those_of_the_image_where_there_is_one() -> None:
    found = entries(6_700_000_000)["video-llm"]
    assert (found.size, found.size_of) == (6_700_000_000, "image") and "6.7 GB image" in menu.line(found)


def test_a_profile_without_a_lock_has_no_size() -> None:
    assert entries(1)["tiny"].size is None and "not locked" in menu.line(entries()["tiny"])
    write(samples.lock(), Path("locks/tiny/2.4.1-cuda12.1-py311.json"))
    assert entries()["tiny"].size == 2000


def test_the_last_proof_is_told() -> None:
    for key, day in (("a", "20261101"), ("b", "20261120"), ("c", "")):
        record.save(record.Record(
            tag="pytorch:2.4.1-cuda12.1-video-llm", key=key * 40, created=day or "20261121", image="", lock="", base="",
            torch="", cuda="", python="", system={}, built={}, packages={}, proven=day,
        ))  # fmt: skip
    assert entries()["video-llm"].proven == "20261120"
    assert "proven 2026-11-20" in menu.line(entries()["video-llm"])


def test_the_folders_own_profile_is_there_even_when_it_is_wrong() -> None:
    Path("imagekit.yaml").write_text("extends: base\nabout: Ours\n")
    assert entries()["."].about == "Ours"
    Path("imagekit.yaml").write_text("extends: nothing\n")
    assert "there is no profile 'nothing'" in menu.line(entries()["."])
    assert entries()["base"].torch, "the others are told all the same"


def test_no_network_and_no_engine_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(self: socket.socket, address: object) -> None:
        assert self.family == socket.AF_UNIX, "a network was asked"
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(sys, "argv", ["imagekit", "profiles", "--json"])
    assert cli.execute() == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["video-llm"]["size_of"] == "wheels" and found["base"]["torch"] == "2.4.1"


def completed(*words: str, shell: str = "bash") -> list[str]:
    line = " ".join(["imagekit", *words])
    environment = {
        **os.environ,
        "_IMAGEKIT_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    call = [sys.executable, "-m", "imagekit"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_of_verbs_profiles_and_options() -> None:
    assert completed("ins") == ["plain,inspect"]
    assert completed("build", "vid") == ["plain,video-llm"]
    assert {"plain,tiny", "plain,base"} <= set(completed("run", ""))
    assert completed("plan", "./x") == ["file,./x"]
    assert "plain,--print" in completed("run", "--pr")
    assert completed("init", "--extends", "video") == ["plain,video-llm"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_sources(shell: str) -> None:
    call = [sys.executable, "-m", "imagekit", "completion", shell]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    assert f"_IMAGEKIT_COMPLETE={shell}_complete" in text and "%(" not in text
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        program = (
            text
            + "\ncomplete -p imagekit; COMP_WORDS=(imagekit bui); COMP_CWORD=1; _imagekit_completion; echo $COMPREPLY"
        )
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", program, "imagekit"],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "_imagekit_completion imagekit" in done.stdout


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert cli_page.FILE.read_text(encoding="utf-8") == cli_page.page(), "make golden writes docs/cli.md"


def test_both_readmes_show_the_same() -> None:
    """Commands and transcripts, number of headings and of rows: what a change of one must bring to the other."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    assert BLOCK.findall(english) == BLOCK.findall(chinese)
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"} for text in (english, chinese)]
    assert links[0] == links[1]
    for start in ("#", "|", "-"):
        rows = [
            [line[:3].strip() for line in text.splitlines() if line.startswith(start)] for text in (english, chinese)
        ]
        assert len(rows[0]) == len(rows[1]), f"lines that begin with {start}"
