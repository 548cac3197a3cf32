"""A YAML file that people write, read strictly: small, UTF-8, each key once, and each value with its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from imagekit.errors import UsageError

LIMIT = 1_000_000
"""Bytes. Such a file is a page of text; anything larger is a mistake."""

Place = tuple[str, ...]
"""Where a value is: ("packages", "0")."""


@dataclass(frozen=True)
class Document:
    path: Path
    raw: dict[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)
    """Line of each key and of each entry of a list, from 1."""

    def where(self, *place: object) -> str:
        """file:line, for a message."""
        line = self.lines.get(tuple(str(part) for part in place))
        return f"{self.path.name}:{line}" if line else self.path.name


def read(path: Path, what: str, hint: str) -> Document:
    """Raises UsageError. `what`: the word for such a file; `hint`: what an empty one needs."""
    try:
        if path.stat().st_size > LIMIT:
            raise UsageError(f"{path.name} has {path.stat().st_size:,} bytes; {what} has at most {LIMIT:,}")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        raw = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader)
        lines: dict[Place, int] = {}
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if tree is not None:
            _walk(tree, (), lines, set())
    except RecursionError:
        raise UsageError(f"{path.name} is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{path.name}:{mark.line + 1}" if mark else path.name
        raise UsageError(f"{where}: {getattr(error, 'problem', None) or error}") from None
    except ValueError as error:  # a day that there is not, as 2027-13-01
        raise UsageError(f"{path.name}: a value cannot be read: {error}", hint="put it in quotes") from None
    if raw is None:
        raise UsageError(f"{path.name} is empty", hint=hint)
    if not isinstance(raw, dict):
        raise UsageError(f"{path.name}: {what} is a mapping of keys to values")
    return Document(path, raw, lines)


def problems(document: Document, model: type[BaseModel], known: list[str], other: Mapping[str, str]) -> list[str]:
    """Every problem of one file, a line each, naming file and field.

    `known`: keys that the file may have; `other`: keys that it may not have -> what is said of them.
    """
    name, raw = document.path.name, document.raw
    found = []
    for key in raw:
        if key in known:
            continue
        if key in other:
            found.append(f"{document.where(key)}: {key}: {other[key]}")
            continue
        near = difflib.get_close_matches(str(key), [*known, *other], 1)
        found.append(f"{name}: {key}: unknown key" + (f"; did you mean {near[0]}?" if near else ""))
    found += [
        f"{name}: {key}: is empty; give it a value or delete the line"
        for key, value in raw.items()
        if value is None and key in known
    ]
    try:
        model(name="x", **{key: raw[key] for key in known if raw.get(key) is not None})
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            found.append(f"{name}: {place}: {item['msg'].removeprefix('Value error, ')}")
    return found


def told(document: Document, item: Any, known: Callable[[Place], list[str]]) -> str:
    """One problem that pydantic found, with its line. `known(place)`: the keys that a mapping there may have."""
    place = tuple(part for part in item["loc"] if not (isinstance(part, str) and part.startswith("function-")))
    said = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        keys = known(tuple(part for part in place[:-1] if isinstance(part, str)))
        near = difflib.get_close_matches(str(place[-1]), keys, 1)
        said = "unknown key" + (f"; did you mean {near[0]}?" if near else f"; there are {', '.join(keys)}")
    written = tuple(map(str, place))
    while written and written not in document.lines:  # a key that is not there
        written = written[:-1]
    return f"{document.where(*written)}: {'.'.join(map(str, place))}: {said}"


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one; here it may not."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        try:
            twice = key in result
        except TypeError:
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark) from None
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], seen: set[int]) -> None:
    """Each node once: a file of aliases to aliases would take forever otherwise."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            inner = (*place, str(number))
            lines[inner] = entry.start_mark.line + 1
            _walk(entry, inner, lines, seen)
