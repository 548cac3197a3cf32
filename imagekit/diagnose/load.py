"""Reading the known errors: `errors.json` where it is fresh, the YAML files where it is not.

YAML is for the people who write them; the wheel carries them compiled, because reading YAML takes a hundred times as
long.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any

from imagekit.diagnose.model import Fault
from imagekit.errors import Error

DATA = Path(__file__).parent / "data"
COMPILED = "errors.json"
FILES = ("gpu", "libraries", "compile", "memory", "distributed", "container", "engine", "packages")
"""Files (without .yaml), in the order of the page; of two errors that one line has, the first counts as more likely."""


@functools.cache
def faults() -> tuple[Fault, ...]:
    """The errors that come with imagekit, read once. Raises `imagekit.errors.Error` when they are damaged."""
    return read(DATA)


def read(folder: Path) -> tuple[Fault, ...]:
    """The errors in `folder`, from its `errors.json` unless a YAML file beside it is newer.

    Raises `imagekit.errors.Error` naming the file and the row when one is missing or damaged.
    """
    compiled = folder / COMPILED
    if not _fresh(compiled, folder):
        return _from_yaml(folder)
    try:
        return tuple(_fault(COMPILED, row) for row in json.loads(compiled.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise Error(f"{COMPILED} cannot be read: {problem}", hint=f"delete {compiled}") from None


def compile_json(folder: Path) -> str:
    """The errors of `folder`'s YAML files as the text of its `errors.json`; the same input gives the same text."""
    rows = [dataclasses.asdict(fault) for fault in _from_yaml(folder)]
    return json.dumps(rows, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"


def _fresh(compiled: Path, folder: Path) -> bool:
    if not compiled.exists():
        return False
    age = compiled.stat().st_mtime_ns
    return all(age >= path.stat().st_mtime_ns for path in folder.glob("*.yaml"))


def _from_yaml(folder: Path) -> tuple[Fault, ...]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[Fault] = []
    for name in FILES:
        try:
            text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
            document = yaml.load(text, Loader=loader)  # noqa: S506  # a safe loader either way
        except (OSError, ValueError, yaml.YAMLError) as problem:
            raise Error(f"{name}.yaml cannot be read: {problem}") from None
        if not isinstance(document, dict) or set(document) != {"group", "errors"}:
            raise Error(f"{name}.yaml: not the two keys group and errors")
        if not isinstance(document["errors"], list):
            raise Error(f"{name}.yaml: errors is no list")
        rows = [{**row, "group": document["group"]} if isinstance(row, dict) else row for row in document["errors"]]
        found += [_fault(f"{name}.yaml", row) for row in rows]
    return _agree(tuple(found))


def _agree(found: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """What is wrong with the rows together, or with what they hold: said once, when they are compiled."""
    ids = [fault.id for fault in found]
    wrong = [f"{id} is there twice" for id in sorted({id for id in ids if ids.count(id) > 1})]
    for fault in found:
        wrong += [f"{fault.id} hides {id}, which is not there" for id in fault.hides if id not in ids]
        for pattern in (*fault.patterns, fault.after):
            try:
                re.compile(pattern)
            except re.error as problem:
                wrong.append(f"{fault.id}: {pattern!r} is no regular expression: {problem}")
    if wrong:
        raise Error("the known errors are damaged", details=wrong)
    return found


_KINDS: dict[str, type] = {"tuple[str, ...]": list, "str": str, "bool": bool}


def _fault(file: str, row: Any) -> Fault:
    if not isinstance(row, dict):
        raise Error(f"{file}: {row!r}: a row is a mapping")
    where = f"{file}: {row.get('id', 'a row without an id')}"
    fields = {field.name: field for field in dataclasses.fields(Fault)}
    wrong = [f"unknown field {name}" for name in row if name not in fields]
    for name, field in fields.items():
        if name not in row:
            wrong += [f"{name} is missing"] if field.default is dataclasses.MISSING else []
        elif not isinstance(row[name], _KINDS[str(field.type)]):
            wrong.append(f"{name}: {row[name]!r} is no {_KINDS[str(field.type)].__name__}")
        elif isinstance(row[name], list):
            wrong += [f"{name}: {item!r} is no text" for item in row[name] if not isinstance(item, str)]
    if wrong:
        raise Error(f"{where}: {wrong[0]}", details=wrong[1:])
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Fault(**values)
