"""Bytecode of a share of small wheels: only that of a wheel that changed is compiled, and the bytes are the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import standins

from imagekit import compose
from imagekit.compose import Compiler, Wheel, bytecode, system
from imagekit.compose.system import System
from imagekit.files import sha256
from imagekit.oci.installed import File
from imagekit.oci.kept import Kept

PYTHON = System((), {"libpython3.11-minimal": "3.11.2-6", "jq": "1.6"})


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the modules that were compiled, by an interpreter that only writes backwards."""
    done: list[str] = []

    def of(files: Sequence[File], root: Path, python: str) -> tuple[File, ...]:
        modules = [file for file in files if file.path.endswith(".py")]
        done.extend(Path(file.path).name for file in modules)
        return tuple(File(f"{file.path}c", file.path[::-1].encode()) for file in modules)

    monkeypatch.setattr(bytecode, "of", of)
    monkeypatch.setattr(system, "unpacked", lambda *_: tmp_path)
    return done


def wheels(folder: Path, **modules: str) -> list[Wheel]:
    found = []
    for name, text in modules.items():
        made = standins.Wheel(name, "1.0", (), {f"{name}/{name}.py": text})
        folder.mkdir(exist_ok=True)
        path = folder / made.file
        path.write_bytes(made.content())
        found.append(Wheel(name, "1.0", "rest", sha256(path), path))
    return found


def made(shelf: Kept, share: list[Wheel]) -> Any:
    return Compiler(PYTHON, "3.11", shelf).layer(share, compose._Files(share, "3.11", (), shelf))


def test_only_the_wheel_that_changed_is_compiled(compiled: list[str], tmp_path: Path) -> None:
    shelf = Kept(tmp_path / "layers")
    before = wheels(tmp_path / "before", a="1\n", b="2\n", c="3\n")
    made(shelf, before)
    assert compiled == ["a.py", "b.py", "c.py"]
    after = [before[0], *wheels(tmp_path / "after", b="2.1\n"), before[2]]
    layer, _ = made(shelf, after)
    assert compiled == ["a.py", "b.py", "c.py", "b.py"] and layer.files == 3
    # whatever was kept before
    assert made(Kept(tmp_path / "anew"), after)[0] == layer


def test_a_piece_that_was_damaged_is_made_again(compiled: list[str], tmp_path: Path) -> None:
    shelf = Kept(tmp_path / "layers")
    share = wheels(tmp_path / "wheels", a="1\n", b="2\n")
    layer, blob = made(shelf, share)
    for piece in (tmp_path / "layers/blobs").iterdir():
        status = piece.stat()
        piece.chmod(0o644)
        piece.write_bytes(os.urandom(status.st_size))  # of that size and time, as a failing disk leaves it
        os.utime(piece, ns=(status.st_atime_ns, status.st_mtime_ns))
    shelf.forget(layer.digest)
    again, path = made(shelf, share)
    assert again == layer and sha256(path) == layer.digest and compiled == ["a.py", "b.py"] * 2
