"""Bytecode by the program that runs in the image's interpreter: the same whatever was compiled before."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from imagekit import resources

PROGRAM = resources.compose() / "inside_compile.py"
MODULES = sorted(Path(json.__file__).parent.glob("*.py")) + sorted(
    Path(sysconfig.get_path("stdlib"), "email").glob("*.py")
)
"""Two packages of the standard library, with names in common."""

ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}


def compiled(modules: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """By one process, in this order."""
    frames = b"".join(len(part).to_bytes(4, "big") + part for name, text in modules for part in (name.encode(), text))
    done = subprocess.run(
        [sys.executable, "-B", str(PROGRAM)], input=frames, env=ENVIRONMENT, capture_output=True, check=True
    )
    magic, rest, found = done.stdout[:4], done.stdout[4:], list[bytes]()
    assert magic == importlib.util.MAGIC_NUMBER
    while rest:
        size = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return found


def rows() -> list[tuple[str, bytes]]:
    return [(f"/opt/{path.parent.name}/{path.name}", path.read_bytes()) for path in MODULES]


def test_the_same_modules_give_the_same_bytes() -> None:
    assert compiled(rows()) == compiled(rows()) and len(rows()) > 20


def test_what_was_compiled_before_changes_no_module() -> None:
    """A layer of bytecode may be that of one wheel or of several, in one process or in many."""
    forward = compiled(rows())
    assert compiled(rows()[::-1])[::-1] == forward
    assert [compiled([row])[0] for row in rows()[:6]] == forward[:6]


def test_what_is_no_python_has_none_and_a_hash_is_checked() -> None:
    good, bad = compiled([("/opt/a.py", b"A = 1\n"), ("/opt/b.py", b"{% template %}\n")])
    assert bad == b"" and good[4:8] == (0b11).to_bytes(4, "little")  # PEP 552: by the source's hash, and checked
    assert good[8:16] == importlib.util.source_hash(b"A = 1\n")
