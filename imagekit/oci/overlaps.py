"""Files that several wheels bring: decided before anything is composed, never by who happens to come last.

The same bytes from all are fine, and so is an __init__.py that says the same in every wheel. Anything else is an error
that names both owners, unless somebody said which of them wins.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Collection, Mapping, Sequence

from imagekit.errors import BuildFailed
from imagekit.oci.archive import content
from imagekit.oci.installed import File

Wheels = Mapping[str, Sequence[File]]
"""Name of a distribution -> its files."""


def decided(wheels: Wheels, wins: Collection[str] = ()) -> dict[str, tuple[File, ...]]:
    """The files of each wheel, without those that one of `wins` brings instead. Raises BuildFailed."""
    owners: dict[str, dict[str, File]] = {}
    for name, files in wheels.items():
        for file in files:
            owners.setdefault(file.path, {})[name] = file
    lost: set[tuple[str, str]] = set()
    problems = []
    for path, named in sorted(owners.items()):
        if len(named) == 1 or _same(path, list(named.values())):
            continue
        over = [name for name in named if name in wins]
        if len(over) == 1:
            lost |= {(name, path) for name in named if name != over[0]}
        else:
            problems.append(f"/{path}: {' and '.join(sorted(named))}")
    problems += _below_files(owners)
    if problems:
        more = [f"and {len(problems) - 12} more"] if len(problems) > 12 else []
        raise BuildFailed(
            "packages bring different files of one name", details=[*problems[:12], *more],
            hint="in the profile: remove: takes one out, replace: lets one stand for it, wins: says whose files stay",
        )  # fmt: skip
    return {name: tuple(f for f in files if (name, f.path) not in lost) for name, files in wheels.items()}


def touching(paths: Mapping[str, Sequence[str]]) -> set[str]:
    """Of wheels by the paths of their files: those with a path that another has too, or has as a folder.

    Nothing is to be decided about all others, whatever is in their files.

    >>> sorted(touching({"a": ["x/y"], "b": ["x/z"], "c": ["x/y"], "d": ["x"]}))
    ['a', 'b', 'c', 'd']
    """
    files: dict[str, str] = {}
    folders: dict[str, set[str]] = {}
    found: set[str] = set()
    for name, mine in paths.items():
        for path in mine:
            other = files.setdefault(path, name)
            if other != name:
                found |= {name, other}
        for folder in _folders(mine):
            folders.setdefault(folder, set()).add(name)
    for path in files.keys() & folders.keys():
        found |= {files[path], *folders[path]}
    return found


def _folders(paths: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _same(path: str, files: list[File]) -> bool:
    first = files[0]
    if all(file.sha256 and file.sha256 == first.sha256 and _sum(file) == _sum(first) for file in files):
        return True
    return path.endswith("/__init__.py") and len({_meaning(file) for file in files}) == 1


def _sum(file: File) -> tuple[int, int]:
    """Size and CRC-32, of the archive and not of RECORD: that may claim the hash of another's file."""
    if isinstance(file.content, bytes):
        return len(file.content), zlib.crc32(file.content)
    return file.content.size, file.content.crc


def _meaning(file: File) -> str:
    """What Python reads, without comments and the text of a module that does nothing."""
    text = file.content if isinstance(file.content, bytes) else content(file.content)
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return text.hex()
    told = all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
    return "" if told else ast.dump(ast.Module(body, []))


def _below_files(owners: Mapping[str, Mapping[str, File]]) -> list[str]:
    """Files of one that are in the place of a folder of another."""
    found = []
    for path, named in sorted(owners.items()):
        parts = path.split("/")
        for end in range(1, len(parts)):
            above = "/".join(parts[:end])
            if above in owners:
                both = " and ".join(sorted({*owners[above], *named}))
                found.append(f"/{above} is a file, and the folder of /{path}: {both}")
    return found
