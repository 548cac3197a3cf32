"""Reading the facts: `facts.json` where it is fresh, the YAML files where it is not.

YAML is for the people who write facts; the wheel carries them compiled, because every command reads them at start-up.
Both are the same documents and go through the same readers here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from imagekit.compat.facts import Facts
from imagekit.compat.rows import (
    Constraint,
    DriverBranch,
    Feature,
    Gpu,
    OperatingSystem,
    Recipe,
    Release,
    Toolkit,
    ToolkitImage,
    Variant,
)
from imagekit.errors import Error

COMPILED = "facts.json"
FILES = {
    "torch": "releases",
    "cuda": "toolkits",
    "gpus": "gpus",
    "drivers": "branches",
    "os": "systems",
    "constraints": "constraints",
    "recipes": "recipes",
    "features": "features",
}
"""File (without .yaml) -> the key that its rows are under."""

T = TypeVar("T")
Document = Mapping[str, Any]


def read(folder: Path) -> Facts:
    """The facts in `folder`, from its `facts.json` unless a YAML file beside it is newer.

    Raises `imagekit.errors.Error` naming the file and the row when one is missing or damaged.
    """
    compiled = folder / COMPILED
    if not _fresh(compiled, folder):
        return _facts(_read_yaml(folder))
    return _facts(_read_json(compiled, f"delete {compiled}"))


def read_json(path: Path) -> Facts:
    """See `facts.read_json`."""
    return _facts(_read_json(path))


def _read_json(path: Path, hint: str = "") -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise Error(f"{path.name} cannot be read: {problem}", hint=hint) from None


def text(folder: Path) -> str:
    """The facts of `folder` as they are compiled."""
    compiled = folder / COMPILED
    return compiled.read_text(encoding="utf-8") if _fresh(compiled, folder) else compile_json(folder)


def compile_json(folder: Path) -> str:
    """See `facts.compile_json`."""
    documents = _read_yaml(folder)
    _facts(documents)
    # Notes on a whole file are for its readers; leaving them out keeps start-up short.
    kept = {name: {key: document[key] for key in document if key != "notes"} for name, document in documents.items()}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"


def _fresh(compiled: Path, folder: Path) -> bool:
    if not compiled.exists():
        return False
    age = compiled.stat().st_mtime_ns
    return all(age >= path.stat().st_mtime_ns for path in folder.glob("*.yaml"))


def _read_yaml(folder: Path) -> dict[str, Document]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: dict[str, Document] = {}
    for name in FILES:
        try:
            text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
            documents[name] = yaml.load(text, Loader=loader)  # noqa: S506  # a safe loader either way
        except (OSError, ValueError, yaml.YAMLError) as problem:
            raise Error(f"{name}.yaml cannot be read: {problem}") from None
    return documents


class _Row:
    """One row of a file; every reader names the file and the row when the value is not what it should be."""

    def __init__(self, where: str, value: object) -> None:
        self._where = where
        if not isinstance(value, dict):
            self.fail("a row is a mapping")
        self._values: dict[str, object] = dict(value)

    def fail(self, problem: str) -> NoReturn:
        raise Error(f"{self._where}: {problem}")

    def _text_of(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self.fail(f"{key}: {value!r} is not a string (write versions and dates in quotes)")
        return value

    def text(self, key: str) -> str:
        if key not in self._values:
            self.fail(f"{key} is missing")
        return self._text_of(key, self._values.pop(key))

    def maybe(self, key: str) -> str | None:
        value = self._values.pop(key, None)
        return None if value is None else self._text_of(key, value)

    def note(self) -> str:
        return self.maybe("note") or ""

    def flag(self, key: str) -> bool:
        value = self._values.pop(key, None)
        return value if isinstance(value, bool) else self.fail(f"{key}: {value!r} is not true or false")

    def maybe_flag(self, key: str) -> bool | None:
        return self.flag(key) if self._values.get(key) is not None else self._values.pop(key, None)  # type: ignore[return-value]

    def whole(self, key: str) -> int:
        value = self._values.pop(key, None)
        return value if type(value) is int else self.fail(f"{key}: {value!r} is not a whole number")

    def _list(self, key: str, value: object) -> list[object]:
        return value if isinstance(value, list) else self.fail(f"{key}: {value!r} is not a list")

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._text_of(key, item) for item in self._list(key, self._values.pop(key, [])))

    def maybe_texts(self, key: str) -> tuple[str, ...] | None:
        return self.texts(key) if self._values.get(key) is not None else None

    def mapping(self, key: str) -> dict[str, str]:
        return {name: self._text_of(f"{key}.{name}", value) for name, value in self._pairs(key)}

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(self._text_of(f"{key}.{name}", item) for item in self._list(f"{key}.{name}", value))
            for name, value in self._pairs(key)
        }

    def _pairs(self, key: str) -> list[tuple[str, object]]:
        value = self._values.pop(key, {})
        if not isinstance(value, dict):
            self.fail(f"{key}: {value!r} is not a mapping")
        return [(self._text_of(f"{key}: key", name), item) for name, item in value.items()]

    def rows(self, key: str, label: str, make: Callable[[_Row], T]) -> tuple[T, ...]:
        """Sub-rows, each built by `make` and named in errors by its field `label`."""
        return tuple(
            _made(f"{self._where}: {_label(label, index, item)}", item, make)
            for index, item in enumerate(self._list(key, self._values.pop(key, [])))
        )

    def end(self) -> None:
        """A field that nothing read is a typing error, and would otherwise be a fact that is silently not there."""
        if self._values:
            self.fail(f"unknown field {', '.join(sorted(map(str, self._values)))}")


def _label(field: str, index: int, item: object) -> str:
    name = item.get(field) if isinstance(item, dict) else None
    return name if isinstance(name, str) else f"row {index + 1}"


def _made(where: str, item: object, make: Callable[[_Row], T]) -> T:
    row = _Row(where, item)
    made = make(row)
    row.end()
    return made


def _facts(documents: object) -> Facts:
    if not isinstance(documents, dict):
        raise Error(f"{COMPILED}: not a mapping of files")
    sources: dict[str, Mapping[str, str]] = {}
    collected: dict[str, str] = {}

    def rows(name: str, label: str, make: Callable[[_Row], T]) -> tuple[T, ...]:
        document = documents.get(name)
        head = _Row(f"{name}.yaml", dict(document) if isinstance(document, dict) else document)
        collected[name] = head.text("collected")
        sources[name] = head.mapping("sources")
        made = head.rows(FILES[name], label, make)
        return made or head.fail(f"{FILES[name]} has no rows")

    return Facts(
        releases=rows("torch", "version", _release),
        toolkits=rows("cuda", "version", _toolkit),
        gpus=rows("gpus", "name", _reader(Gpu)),
        drivers=rows("drivers", "branch", _reader(DriverBranch)),
        systems=rows("os", "suite", _reader(OperatingSystem)),
        constraints=rows("constraints", "id", _constraint),
        recipes=rows("recipes", "package", _reader(Recipe)),
        features=rows("features", "name", _feature),
        sources=sources,
        collected=collected,
    )


def _build(kind: type[T], row: _Row, **given: object) -> T:
    """A dataclass from the fields of a row that carry the names of its fields; `given` are those that do not."""
    for field in dataclasses.fields(cast(Any, kind)):
        if field.name not in given:
            given[field.name] = _READERS[str(field.type)](row, field.name)
    return kind(**given)


_READERS: Mapping[str, Callable[[_Row, str], object]] = {
    "str": _Row.text,
    "str | None": _Row.maybe,
    "bool": _Row.flag,
    "bool | None": _Row.maybe_flag,
    "int": _Row.whole,
    "tuple[str, ...]": _Row.texts,
    "tuple[str, ...] | None": _Row.maybe_texts,
    "Mapping[str, str]": _Row.mapping,
    "Mapping[str, tuple[str, ...]]": _Row.lists,
}
"""Type of a field, as facts.py writes it -> how it is read."""


def _reader(kind: type[T]) -> Callable[[_Row], T]:
    return lambda row: _build(kind, row, note=row.note())


def _release(row: _Row) -> Release:
    glibc = row.text("glibc")

    def variant(row: _Row) -> Variant:
        return _build(Variant, row, glibc=row.maybe("glibc") or glibc, note=row.note())

    variants = row.rows("variants", "name", variant)
    if [variant.pypi_default for variant in variants].count(True) != 1:
        row.fail("exactly one variant is the default of PyPI")
    return _build(Release, row, glibc=glibc, variants=variants, note=row.note())


def _toolkit(row: _Row) -> Toolkit:
    return _build(Toolkit, row, images=row.rows("images", "version", _reader(ToolkitImage)), note=row.note())


def _constraint(row: _Row) -> Constraint:
    effect = row.text("effect")
    if effect not in ("refuse", "warn", "add"):
        row.fail(f"effect: {effect!r} is not refuse, warn or add")
    return _build(Constraint, row, effect=effect, note=row.note())


def _feature(row: _Row) -> Feature:
    feature = _build(Feature, row, note=row.note())
    if "any" not in feature.apt:
        row.fail("apt has no list for `any`")
    return feature
