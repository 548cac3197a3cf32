"""What is asked: a profile, the profiles it extends, and the wishes of the command line.

A profile states preferences; `Wishes` are what the command line insists on. Neither is ever changed into its own
answer: resolving makes a new thing (`imagekit.resolution`).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit import resources
from imagekit.errors import UsageError
from imagekit.profile_fields import (
    AptName,
    BaseName,
    EnvName,
    LabelName,
    Line,
    Pep508,
    Source,
    Target,
    Version,
)

LIMIT = 1_000_000
"""Bytes. A profile is a page of text; anything larger is a mistake."""

DEPTH = 16
"""How long a chain of `extends` may be."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Expects(_Model):
    """What the finished image must be able to do; every entry is a check."""

    read: dict[str, list[str]] = Field(default_factory=dict)
    """codec -> the readers that must decode it."""
    write: list[str] = Field(default_factory=list)
    """ffmpeg encoders."""
    model: str = ""
    """The architecture of which a tiny, randomly initialised model runs one batch."""


class Profile(_Model):
    name: str
    about: Line = ""
    torch: Version | None = None
    cuda: Version | None = None
    python: Version | None = None
    base: BaseName | None = None
    packages: list[Pep508] = Field(default_factory=list)
    replace: dict[str, str] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)
    apt: list[AptName] = Field(default_factory=list)
    features: list[str] = Field(default_factory=list)
    expects: Expects = Expects()
    requirements: list[Source] = Field(default_factory=list)
    files: dict[Source, Target] = Field(default_factory=dict)
    env: dict[EnvName, Line] = Field(default_factory=dict)
    labels: dict[LabelName, Line] = Field(default_factory=dict)
    targets: list[str] = Field(default_factory=list)
    folder: str = ""
    """Where the profile's own file is; relative paths of `files` and `requirements` start there. Empty for built-in."""


class Wishes(_Model):
    """Command-line overrides, as the user wrote them."""

    torch: str | None = None
    cuda: str | None = None
    python: str | None = None
    base: BaseName | None = None
    packages: tuple[str, ...] = ()


def wish(**options: Any) -> Wishes:
    """Wishes out of command-line options, each an optional string. Raises UsageError naming every bad option."""
    try:
        return Wishes(**options)
    except ValidationError as error:
        problems = [f"--{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()]
        raise UsageError("the command line is wrong", details=problems) from None


def names() -> list[str]:
    """The built-in profiles."""
    return sorted(path.stem for path in resources.profiles().glob("*.yaml"))


def load(name: str) -> Profile:
    """The profile `name` (built-in) or the file or folder it points to, merged with everything it extends.

    Raises UsageError that lists every problem of every file in the chain.
    """
    chain: list[dict[str, Any]] = []
    problems: list[str] = []
    seen: list[Path] = []
    path: Path | None = _find(name, None)
    while path is not None:
        if path in seen:
            circle = " -> ".join(entry.stem for entry in [*seen[seen.index(path) :], path])
            raise UsageError(f"{path.name}: extends: profiles extend each other in a circle: {circle}")
        if len(seen) == DEPTH:
            raise UsageError(f"{path.name}: extends: more than {DEPTH} profiles deep")
        seen.append(path)
        raw = _read(path)
        if "extends" in raw and not raw["extends"]:
            problems.append(f"{path.name}: extends: is empty; give it a value or delete the line")
        parent = raw.pop("extends", None)
        problems += _check(path, raw)
        chain.append(raw)
        if parent is not None and not isinstance(parent, str):
            problems.append(f"{path.name}: extends: must be the name of one profile")
            break
        path = _find(parent, path) if parent else None
    if problems:
        raise UsageError(f"profile {name} is wrong", details=problems, hint="docs/profiles.md lists every key")
    merged = chain[-1]
    for child in reversed(chain[:-1]):
        merged = _merge(merged, child)
    own = seen[0]
    builtin = own.parent == resources.profiles()
    stem = own.parent.resolve().name if own.name == "imagekit.yaml" else own.stem
    return Profile(name=stem, folder="" if builtin else str(own.parent), **merged)


def _find(name: str, child: Path | None) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")) or name == ".":
        path = Path(name)
        if child is not None and not path.is_absolute():
            path = child.parent / path
        if path.is_dir():
            path = path / "imagekit.yaml"
        if path.is_file():
            return path
        raise UsageError(f"there is no profile file {path}", hint="a built-in profile is named without a slash")
    path = resources.profiles() / f"{name}.yaml"
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, names(), 1)
    known = "built-in profiles: " + ", ".join(names())
    where = f"{child.name}: extends: " if child else ""
    raise UsageError(f"{where}there is no profile {name!r}", hint=f"did you mean {near[0]}?" if near else known)


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one; a profile may not."""


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


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LIMIT:
            raise UsageError(f"{path.name} has {path.stat().st_size:,} bytes; a profile has at most {LIMIT:,}")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        raw = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  (a SafeLoader)
    except RecursionError:
        raise UsageError(f"{path.name} is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{path.name}:{mark.line + 1}" if mark else path.name
        raise UsageError(f"{where}: {getattr(error, 'problem', None) or error}") from None
    if raw is None:
        raise UsageError(f"{path.name} is empty", hint="a profile needs at least `extends:` or `torch:`")
    if not isinstance(raw, dict):
        raise UsageError(f"{path.name}: a profile is a mapping of keys to values")
    return raw


def _check(path: Path, raw: dict[str, Any]) -> list[str]:
    """Every problem of one file, a line each, naming file and field."""
    problems = []
    known = [key for key in Profile.model_fields if key not in ("name", "folder")]
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), [*known, "extends"], 1)
            problems.append(f"{path.name}: {key}: unknown key" + (f"; did you mean {near[0]}?" if near else ""))
    for key, value in raw.items():
        if value is None and key in known:
            problems.append(f"{path.name}: {key}: is empty; give it a value or delete the line")
    try:
        Profile(name="x", **{key: raw[key] for key in known if raw.get(key) is not None})
    except ValidationError as error:
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"])
            problems.append(f"{path.name}: {field}: {item['msg'].removeprefix('Value error, ')}")
    return problems


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """The child's entry replaces the parent's: by key for mappings, by normalised name for lists of packages."""
    merged = dict(parent)
    for key, value in child.items():
        if key == "packages":
            merged[key] = list(({_name(p): p for p in parent.get(key, [])} | {_name(p): p for p in value}).values())
        elif key == "expects" or isinstance(value, dict):
            merged[key] = {**parent.get(key, {}), **value}
        elif isinstance(value, list):
            merged[key] = list(dict.fromkeys([*parent.get(key, []), *value]))
        else:
            merged[key] = value
    gone = {canonicalize_name(name) for name in child.get("remove", [])}
    for key in ("packages", "apt", "features"):
        merged[key] = [entry for entry in merged.get(key, []) if _name(entry) not in gone]
    merged["replace"] = {a: b for a, b in merged.get("replace", {}).items() if canonicalize_name(b) not in gone}
    merged["remove"] = []
    return merged


def _name(entry: str) -> str:
    try:
        return canonicalize_name(Requirement(entry).name)
    except InvalidRequirement:
        return canonicalize_name(entry)
