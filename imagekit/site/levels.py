"""The levels of a site and their one precedence, strongest first:

    --site FILE  >  IMAGEKIT_* variables  >  the file of $IMAGEKIT_SITE  >  ./imagekit.toml  >  the user's imagekit.toml

What the host's pip and uv say (host.py) and what is built in come below. Levels merge by key, not by file. One rule
guards logins: a stronger level's `url` drops the `auth` and `user` of weaker levels, so that nobody can send a login to
another place by naming that place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError

from imagekit.errors import UsageError
from imagekit.site import model
from imagekit.site.model import Path as Key
from imagekit.site.model import Settings
from imagekit.site.toml import tomllib

FILE = "imagekit.toml"

SHORT: dict[str, Key] = {
    "IMAGEKIT_INDEX_URL": ("indexes", "pypi", "url"),
    "IMAGEKIT_CA": ("tls", "ca"),
    "IMAGEKIT_REGISTRY": ("registry", "push"),
}
"""Short names; every key also has its long one: IMAGEKIT_ and its path in capitals."""

_INDEX_VARIABLE = re.compile(r"IMAGEKIT_INDEXES_([A-Z0-9_]+)_(URL|ONLY|AUTH|USER)")


@dataclass(frozen=True)
class Value:
    key: Key
    value: Any
    origin: str
    """A file, or a variable as $NAME."""


@dataclass(frozen=True)
class Merged:
    settings: Settings
    applies: dict[Key, Value]
    """What a file or a variable says and applies."""
    overridden: tuple[tuple[Value, str], ...]
    """What does not, and why."""


def read(site: Path | None, environ: Mapping[str, str]) -> list[list[Value]]:
    """All levels, strongest first. Raises UsageError with every problem of every file and variable."""
    named = Path(environ["IMAGEKIT_SITE"]) if environ.get("IMAGEKIT_SITE") else None
    files = [
        path for path in (site, None, named, *_own(environ)) if path is None or path in (site, named) or path.is_file()
    ]
    problems: list[str] = []
    levels: list[list[Value]] = []
    seen: set[Path] = set()
    for path in files:
        if path is None:
            levels.append([])
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            levels.append(_file(path, problems))
    place = 1 if site else 0
    names = {value.key[1] for level in levels for value in level if value.key[0] == "indexes" and len(value.key) > 1}
    levels[place] = _variables(environ, names, problems)
    if problems:
        what = f"the site file {files[-1].name} is wrong" if len(files) == 2 and files[-1] else "the site is wrong"
        raise UsageError(what, details=problems)
    return levels


def _own(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME") or "/nonexistent")
    return [Path(FILE), Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "imagekit" / FILE]


_PATHS = {("tls", "ca"), ("sign", "key"), ("sign", "public"), ("scan", "allow")}


def _file(path: Path, problems: list[str]) -> list[Value]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the site file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the site file {path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    problems += [f"{path}: {'.'.join(key)}: {text}" for key, text in _wrong(raw)]
    values = [Value(key, value, str(path)) for key, value in _flat(raw)]
    return [_placed(value, path.parent) if value.key in _PATHS else value for value in values]


def _placed(value: Value, folder: Path) -> Value:
    """A file is named from where the site file is; env://NAME and its like are none."""
    if not isinstance(value.value, str) or not value.value or "://" in value.value:
        return value
    return Value(value.key, str(folder / Path(value.value).expanduser()), value.origin)


def _wrong(raw: dict[str, Any], *, whole: bool = False) -> list[tuple[Key, str]]:
    """What is wrong with a level, key by key; what is missing only in the `whole`, where all levels are merged."""
    try:
        Settings(**raw)
    except ValidationError as error:
        found = []
        for item in error.errors():
            key = tuple(str(part) for part in item["loc"] if part != "[key]")
            text = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                close = difflib.get_close_matches(key[-1], model.near(key), 1)
                text = "unknown key" + (f"; did you mean {close[0]}?" if close else "")
            if (item["type"] == "missing") == whole:
                found.append((key, "missing" if whole else text))
        return found
    return []


def _flat(raw: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in raw.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*above, name))
        else:
            yield (*above, name), value


def _nested(values: Mapping[Key, Value]) -> dict[str, Any]:
    top: dict[str, Any] = {}
    for key, value in sorted(values.items(), key=lambda item: len(item[0])):
        table = top
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = dict(value.value) if isinstance(value.value, dict) else value.value
    return top


def _variables(environ: Mapping[str, str], names: set[str], problems: list[str]) -> list[Value]:
    known = {f"IMAGEKIT_{'_'.join(key).upper()}": (key, kind) for key, kind in model.leaves()}
    fields = {name: field.annotation for name, field in model.Index.model_fields.items()}
    known |= {name: (key, str) for name, key in SHORT.items()}
    spelled = {variable_name(name): name for name in ("pypi", "pytorch", *names)}
    sections = tuple(f"IMAGEKIT_{section.upper()}_" for section in Settings.model_fields)
    found: dict[Key, Value] = {}
    for variable, text in sorted(environ.items()):
        if not text or not variable.startswith(("IMAGEKIT_",)):
            continue
        index = _INDEX_VARIABLE.fullmatch(variable)
        key: Key
        if index:
            name, field = index[1], index[2].lower()
            key, kind = ("indexes", spelled.get(name, name.lower().replace("_", "-")), field), fields[field]
        elif variable in known:
            key, kind = known[variable]
        elif variable.startswith(sections):
            close = difflib.get_close_matches(variable, known, 1)
            problems.append(f"${variable}: names no key" + (f"; did you mean {close[0]}?" if close else ""))
            continue
        else:
            continue
        value = _typed(text, kind)
        problems += [f"${variable}: {said}" for _, said in _wrong(_nested({key: Value(key, value, "")}))]
        if key in found and found[key].value != value:
            problems.append(f"${variable}: says something else than {found[key].origin}")
        found[key] = Value(key, value, f"${variable}")
    return list(found.values())


def variable_name(index: str) -> str:
    """The name of an index in a variable, ours and uv's: capitals, digits and _."""
    return re.sub(r"[^A-Z0-9]", "_", index.upper())


def _typed(text: str, kind: Any) -> Any:
    if get_origin(kind) is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    return int(text) if kind is int and re.fullmatch(r"\d{1,9}", text, re.ASCII) else text


def merge(levels: list[list[Value]]) -> Merged:
    """One value per key. Raises UsageError for what only all levels together show."""
    applies: dict[Key, Value] = {}
    rank: dict[Key, int] = {}
    overridden: list[tuple[Value, str]] = []
    for number, level in enumerate(levels):
        for value in level:
            if value.value == {}:
                applies.setdefault(value.key, value)
            elif value.key in rank:
                overridden.append((value, f"{applies[value.key].origin} says it"))
            else:
                applies[value.key], rank[value.key] = value, number
    for key in [key for key in applies if key[0] == "indexes" and key[-1] in ("auth", "user")]:
        url = (*key[:-1], "url")
        if rank.get(url, len(levels)) < rank[key]:
            why = f"{applies[url].origin} gives this index another URL; a login stays with its own"
            overridden.append((applies.pop(key), why))
    nested = _nested(applies)
    problems = [f"{'.'.join(key)}: {text}" for key, text in _wrong(nested, whole=True)]
    if problems:
        raise UsageError("the site is wrong", details=problems)
    settings = Settings(**nested)
    problems = [
        f"indexes.{name}.url: missing"
        for name, index in settings.indexes.items()
        if not index.url and name not in ("pypi", "pytorch")
    ]
    spelled: dict[str, str] = {}
    for name in settings.indexes:
        other = spelled.setdefault(variable_name(name), name)
        if other != name:
            problems.append(f"indexes.{name}: too much like indexes.{other}")
    if problems:
        raise UsageError("the site is wrong", details=problems)
    return Merged(settings, applies, tuple(overridden))
