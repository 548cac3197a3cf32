"""Two packages that bring the same file: the one that was installed last wins, and which that is differs from build to
build (two opencvs, pillow beside pillow-simd)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from .. import records
from ..check import ALL, Check, Failure, Figures, Image, canonical

Owners = Mapping[str, str]
"""Distribution -> the hash that it recorded of a file."""


def owners() -> dict[str, Owners]:
    """Every installed file that has more than one owner."""
    found: dict[str, dict[str, str]] = {}
    for distribution in metadata.distributions():
        name = canonical(distribution.metadata["Name"] or "")
        for entry in records.of(distribution):
            if entry.digest and not entry.name.endswith(".pyc"):
                found.setdefault(entry.name, {})[name] = entry.digest
    return {path: named for path, named in found.items() if len(named) > 1}


def differ(named: Owners) -> bool:
    return len(set(named.values())) > 1


def run(image: Image) -> Figures:
    shared = owners()
    clashes = {path: named for path, named in shared.items() if differ(named) and not _empty(image.site / path)}
    if clashes:
        pairs = sorted({" and ".join(sorted(named)) for named in clashes.values()})
        example = min(clashes)
        raise Failure(
            found=f"{len(clashes)} files of {'; '.join(pairs[:3])}, such as {example}",
            expected="one owner for each file, or the same bytes from all",
            because="two distributions of one thing are installed",
            fix="keep one of them: remove: in the profile takes the other out, replace: lets one stand for it",
        )
    return {"shared": len(shared)}


def _empty(path: Path) -> bool:
    """An __init__.py without a statement: it makes a namespace, whoever wrote which comment into it."""
    if path.name != "__init__.py":
        return False
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


CHECK = Check("overlapping-files", "static", run, covers=(ALL,))
