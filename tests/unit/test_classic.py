"""The classic builder: its words become BuildKit's, its contexts hold every Python file, a folder becomes a tar in pieces."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest
import samples
import update

from imagekit import fetch, render
from imagekit.engines import buildkit, choice, classic, endpoint, steps
from imagekit.engines.classic import Words
from imagekit.engines.endpoint import Endpoint
from imagekit.engines.steps import Step
from imagekit.errors import Surroundings
from imagekit.wheels import Store

GOOD = [
    {"stream": "Step 1/5 : ARG BASE=example/base:bookworm\n"},
    {"stream": "Step 2/5 : FROM ${BASE} AS system\n"},
    {"stream": " ---> 012edf3a8201\n"},
    {"stream": "Step 3/5 : RUN apt-get update;     mkdir /cache\n"},
    {"stream": " ---> Using cache\n"},
    {"stream": "Step 4/5 : RUN uv pip install\n"},
    {"stream": " ---> Running in 0123456789ab\n"},
    {"stream": "\x1b[91mhalf a li"},
    {"stream": "ne\n\x1b[0m"},
    {"stream": "Removing intermediate container 0123456789ab\n"},
    {"stream": " ---> 112233445566\n"},
    {"aux": {"ID": "sha256:first"}},
    {"stream": 'Step 5/5 : CMD ["python"]\n'},
    {"aux": {"ID": "sha256:last"}},
    {"stream": "Successfully built 778899aabbcc\n"},
]


def read(messages: list[dict[str, object]]) -> tuple[Words, dict[str, Step], list[str], str]:
    words, found, progress, lines = Words(), {}, [], []
    for message in messages:
        lines += list(words.of(message))
    lines += list(words.rest())
    for line in lines:
        steps.read(line, found, progress.append)
    return words, found, progress, "\n".join(lines)


def test_steps_as_buildkit_tells_them() -> None:
    words, found, progress, _ = read(GOOD)
    assert words.image == "sha256:last" and not words.failed and words.container == ""
    assert progress == [
        "[1/5] ARG BASE=example/base:bookworm",
        "[system 2/5] FROM ${BASE} AS system",
        "[system 3/5] RUN apt-get update; mkdir /cache",
        "[system 4/5] RUN uv pip install",
        '[system 5/5] CMD ["python"]',
    ]
    assert {number for number, step in found.items() if step.cached} == {"3"}
    assert all(step.done for step in found.values())
    assert found["4"].lines == ["half a line"]


def test_the_container_that_runs_is_known() -> None:
    assert read(GOOD[:7])[0].container == "0123456789ab"
    assert read(GOOD[:10])[0].container == ""


def test_a_failing_step(tmp_path: Path) -> None:
    text = "The command '/bin/sh -euc apt-get install' returned a non-zero code: 100"
    messages = [*GOOD[:7], {"stream": "E: Unable to locate package libfoo9"}, {"errorDetail": {"message": text}}]
    words, found, _, log = read(messages)
    assert words.failed and words.container == "0123456789ab", "it is there until the engine has removed it"
    (tmp_path / "log").write_text(log)
    error = steps.failure(found, tmp_path / "log")
    assert error.exit_code == 6 and "[system 4/5]" in error.message and "does not exist in this base" in error.hint
    assert "Unable to locate package libfoo9" in str(error)


def test_an_error_before_the_first_step(tmp_path: Path) -> None:
    words, found, _, log = read([{"error": "pull access denied for example/base"}])
    (tmp_path / "log").write_text(log)
    assert words.failed and "before its first step" in steps.failure(found, tmp_path / "log").message


def test_a_folder_as_a_tar(tmp_path: Path) -> None:
    for name in ("one", "two"):
        top = tmp_path / name
        (top / "folder").mkdir(parents=True)
        (top / "folder").chmod(0o2775)
        (top / "folder/file").write_bytes(b"x" * (classic.PIECE + 1))
        (top / "folder/file").chmod(0o755)
        (top / "a.whl").write_bytes(b"")
        (top / "link").symlink_to("/usr/bin/python3")
        for path in (top / "folder/file", top / "folder"):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        os.utime(top / "link", (1, 1), follow_symlinks=False)
    tars = [b"".join(classic._Tar(tmp_path / name)) for name in ("one", "two")]
    assert tars[0] == tars[1]
    assert max(map(len, classic._Tar(tmp_path / "one"))) <= classic.PIECE
    with tarfile.open(fileobj=io.BytesIO(tars[0])) as archive:
        entries = {entry.name: entry for entry in archive}
    assert list(entries) == ["a.whl", "folder", "folder/file", "link"]
    assert (entries["folder"].mode, entries["folder/file"].mode) == (0o2775, 0o755)
    assert entries["link"].linkname == "/usr/bin/python3" and entries["folder/file"].size == classic.PIECE + 1
    assert {(entry.uid, entry.gid, entry.uname) for entry in entries.values()} == {(0, 0, "")}


def test_golden() -> None:
    path = update.HERE / "tiny-classic/Dockerfile"
    assert update.for_the_classic_builder() == path.read_text(), "if that is meant: make golden, and review the diff"


def test_the_classic_builder_knows_every_word_of_its_dialect() -> None:
    text = update.for_the_classic_builder()
    assert "--mount" not in text and "--link" not in text and "secret" not in text
    installs = [line for line in re.split(r"; \\\n|\n", text) if re.search(r"pip (install|wheel) ", line)]
    assert installs and all("--no-index" in line for line in installs)


def test_every_python_file_is_in_the_context() -> None:
    lock = update.lock_of("video-llm")
    assert lock is not None
    context = render.context(lock, dialect="classic")
    placed = {(package.name, package.version) for package in context.wheels.values()}
    assert {(p.name, p.version) for p in lock.packages if p.kind != "standin"} == placed
    assert "sources/pillow-simd/pillow_simd-12.1.1.post0.tar.gz" in context.wheels
    assert set(context.tools) == {"tools", "sources/pillow-simd"}


def test_tools_are_found_by_their_hash(tmp_path: Path) -> None:
    """A lock has no names of their files; what is in the store needs no index."""
    lock = samples.lock()
    store = Store(tmp_path)
    for package in lock.packages:
        store.add(package.file, package.sha256, lambda package=package: (package.name + package.version).encode())  # type: ignore[misc]
    store.add("uv-0.9.10-py3-none-any.whl", samples.sha256("uv"), lambda: b"uv")
    context = render.context(lock, dialect="classic")
    site = type("Site", (), {"route": lambda self, name: ""})()
    said: list[str] = []
    wheels = fetch.into(store, context.wheels, context.tools, lock, site, said.append)  # type: ignore[arg-type]
    assert "tools/uv-0.9.10-py3-none-any.whl" in wheels and said == []


@pytest.mark.parametrize(("buildx", "client", "wanted", "builder"), [
    (True, "26.1.5", "auto", "buildkit"),
    (False, "20.10.24", "auto", "buildkit"),
    (False, "26.1.5", "auto", "classic"),
    (True, "26.1.5", "classic", "classic"),
    (False, "", "auto", "classic"),
])  # fmt: skip
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, buildx: bool, client: str, wanted: str, builder: str
) -> None:
    """The docker command is played: without buildx, one of 23 and later has no BuildKit."""
    monkeypatch.setattr(buildkit, "has_buildx", lambda: buildx)
    command = tmp_path / "docker"
    command.write_text(f"#!/bin/sh\n{f'echo {client}' if client else 'exit 1'}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine = type("Engine", (), {"endpoint": "somewhere"})()
    chosen, why = choice.builder(wanted, engine)
    assert chosen == builder and bool(why) == (wanted == "auto" and builder == "classic")
    if why:
        with pytest.raises(Surroundings, match="BuildKit cannot be had at somewhere"):
            choice.builder("buildkit", engine)


@pytest.mark.parametrize(("one", "other"), [
    ("unix:///var/run/docker.sock", "http+unix:///var/run/docker.sock"),
    ("unix://var/run/docker.sock", "unix:///var/run/docker.sock"),
    ("tcp://engine.example:2376/", "tcp://engine.example:2376"),
])  # fmt: skip
def test_spellings_of_one_endpoint(one: str, other: str) -> None:
    assert endpoint._same(one, other)


def test_another_endpoint() -> None:
    assert not endpoint._same("tcp://engine.example:2376", "ssh://engine.example")
    assert not endpoint._same("unix:///run/other.sock", endpoint.DEFAULT)


def test_no_password_in_what_is_shown() -> None:
    assert str(Endpoint("ssh://me:s3cret@engine.example", "DOCKER_HOST")) == "ssh://***@engine.example (DOCKER_HOST)"
    assert str(Endpoint("ssh://me@engine.example")) == "ssh://me@engine.example"
