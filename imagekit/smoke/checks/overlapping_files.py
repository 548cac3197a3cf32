"""Two packages that bring the same file: the one that was installed last wins, and which that is differs from build to
build (two opencvs, pillow beside pillow-simd)."""

from __future__ import annotations

import ast
import base64
import hashlib
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
    decided = {path: over[0] for path, named in clashes.items() if len(over := sorted(wins(image) & named.keys())) == 1}
    lost = [path for path, winner in sorted(decided.items()) if _digest(image.site / path) != clashes[path][winner]]
    if lost:
        raise Failure(
            found=f"{lost[0]} is not that of {decided[lost[0]]}, which wins by the profile; {len(lost)} such files",
            expected="the files of the package that wins",
            because="another package was installed over it",
            fix="build the image again from its lock",
        )
    clashes = {path: named for path, named in clashes.items() if path not in decided}
    if clashes:
        pairs = sorted({" and ".join(sorted(named)) for named in clashes.values()})
        example = min(clashes)
        raise Failure(
            found=f"{len(clashes)} files of {'; '.join(pairs[:3])}, such as {example}",
            expected="one owner for each file, or the same bytes from all",
            because="two distributions of one thing are installed",
            fix="in the profile: remove: takes one out, replace: lets one stand for it, wins: says whose files stay",
        )
    return {"shared": len(shared)}


def wins(image: Image) -> set[str]:
    """Packages whose files stay, as the profile says."""
    return set((image.lock.get("resolution") or {}).get("wins") or ())


def _digest(path: Path) -> str:
    try:
        return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    except OSError:
        return ""


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
