"""Checks of a profile, an overlay or a project: files in /opt/imagekit/checks/<owner>/, run like the built-in ones.

A check is a function whose name starts with `check_`. It returns, or it raises: AssertionError is a failure of the
image, unittest.SkipTest says why it cannot run here, anything else is an error of the check. A dictionary that it
returns is its figures. `STAGE` (static, cpu, deep, gpu, multi-gpu) and `LIMIT` (seconds) at the top of a file are for
all checks in it.

Files are read, never imported, until a check runs in a process of its own: what one does cannot touch another.
"""

from __future__ import annotations

import ast
import linecache
import sys
import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from .check import STAGES, Check, Failure, Figures, Image, Skip

STAGE, LIMIT, LONGEST = "cpu", 60.0, 600.0
"""What a file gets that says nothing, and the most seconds that it may ask for."""


@dataclass(frozen=True)
class Found:
    """What a file says of its checks."""

    functions: tuple[str, ...]
    stage: str = STAGE
    limit: float = LIMIT
    about: str = ""


def read(text: str) -> Found:
    """Raises ValueError saying what is wrong with a file of checks, with its line where there is one."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")]
    if not names:
        raise ValueError("it has no function whose name starts with check_")
    said = {name: _constant(tree, name) for name in ("STAGE", "LIMIT")}
    stage = STAGE if said["STAGE"] is None else said["STAGE"]
    limit = LIMIT if said["LIMIT"] is None else said["LIMIT"]
    if stage not in STAGES:
        raise ValueError(f"STAGE is {stage!r}; it is one of {', '.join(STAGES)}")
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= LONGEST:
        raise ValueError(f"LIMIT is {limit!r}; it is a number of seconds up to {LONGEST:.0f}")
    return Found(tuple(dict.fromkeys(names)), stage, float(limit), " ".join((ast.get_docstring(tree) or "").split()))


def _constant(tree: ast.Module, name: str) -> Any:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                raise ValueError(f"line {node.lineno}: {name} is not a plain value") from None
    return None


def of(image: Image) -> list[Check]:
    """The own checks of this image, named <owner>/<function without check_>."""
    top = image.root / "checks"
    found: list[Check] = []
    for path in sorted(top.rglob("*.py")):
        if path.name.startswith("_"):
            continue
        owner, inside = path.relative_to(top).parts[0], path.relative_to(top)
        try:
            said = read(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            found.append(Check(f"{owner}/{path.stem}", "static", _broken(f"{inside}: {error}"), about="an own check"))
            continue
        for name in said.functions:
            title = f"{owner}/{name[6:].replace('_', '-')}"
            if any(check.name == title for check in found):
                title = f"{owner}/{path.stem}/{name[6:].replace('_', '-')}"
            about = said.about or f"a check of {owner}"
            found.append(Check(title, said.stage, _body(path, name), limit=said.limit, about=about))
    return found


def _broken(why: str) -> Callable[[Image], Figures]:
    def run(image: Image) -> Figures:
        raise ValueError(why)

    return run


def _body(path: Path, name: str) -> Callable[[Image], Figures]:
    def run(image: Image) -> Figures:
        sys.path.insert(0, str(path.parent))
        spec = util.spec_from_file_location(f"own_check_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            said = getattr(module, name)()
        except unittest.SkipTest as reason:
            raise Skip(str(reason) or "the check skips itself") from reason
        except AssertionError as no:
            traceback.print_exc()
            place = next(
                (f for f in reversed(traceback.extract_tb(no.__traceback__)) if f.filename == str(path)),
                traceback.extract_tb(no.__traceback__)[-1],
            )
            line = linecache.getline(place.filename, place.lineno or 0).strip()
            because = f"{Path(place.filename).name}:{place.lineno} {line}"
            raise Failure(found=str(no) or "an assertion does not hold", expected="it holds", because=because) from no
        return dict(said) if isinstance(said, dict) else {}

    return run
