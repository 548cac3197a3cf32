"""What is asked: a profile, the profiles it extends, and the wishes of the command line.

A profile states preferences; `Wishes` are what the command line insists on. Neither is ever changed into its own
answer: resolving makes a new thing (`imagekit.resolution`).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit import git_source, overlay, resources, strict_yaml
from imagekit.errors import UsageError
from imagekit.git_source import GitSource
from imagekit.git_source import Name as SourceName
from imagekit.overlay import Overlay
from imagekit.profile_fields import (
    AptName,
    BaseName,
    EnvName,
    LabelName,
    Line,
    PackageName,
    Pep508,
    Source,
    Target,
    Targets,
    Version,
)

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
    """One line for `imagekit profiles`."""
    torch: Version | None = None
    """Preferred torch, "2.4.1" or "2.4"."""
    cuda: Version | None = None
    """Preferred CUDA of the torch build, "12.1"."""
    python: Version | None = None
    """Preferred Python, "3.11". The base decides it: another Python moves the base."""
    base: BaseName | None = None
    """What the image stands on: distro:SUITE or image:REFERENCE."""
    packages: list[Pep508] = Field(default_factory=list)
    """Python packages (PEP 508), no URLs. torchvision and torchaudio follow torch and need no version."""
    sources: dict[SourceName, GitSource] = Field(default_factory=dict)
    """Package -> the git repository that it is built from. It needs no line in `packages`."""
    replace: dict[str, str] = Field(default_factory=dict)
    """A: B. A is left out of the resolution, B is installed, a file-less A stands in for it."""
    wins: list[PackageName] = Field(default_factory=list)
    """Packages whose files stay where others bring different ones of the same name."""
    remove: list[str] = Field(default_factory=list)
    """Names taken out of packages, sources, apt, features, wins and replace of this file and its parents."""
    apt: list[AptName] = Field(default_factory=list)
    """Distribution packages."""
    features: list[str] = Field(default_factory=list)
    """One word installs it, sets it up and proves it."""
    expects: Expects = Expects()
    """What the finished image must be able to do; every entry is a check."""
    requirements: list[Source] = Field(default_factory=list)
    """Requirements files of this folder. Options, URLs and hashes in them are errors."""
    files: dict[Source, Target] = Field(default_factory=dict)
    """File or folder of this folder -> its place in the image, where root owns it."""
    env: dict[EnvName, Line] = Field(default_factory=dict)
    """Environment of the image, over that of features and of the image contract."""
    labels: dict[LabelName, Line] = Field(default_factory=dict)
    """Labels of the image."""
    targets: Targets = Field(default_factory=list)
    """What the image must run on: pools of the site's fleet by name, GPUs with their drivers, files of nodes."""
    checks: list[Source] = Field(default_factory=list)
    """Files or folders of checks that run in the image with the others."""
    folder: str = ""
    """Where the profile's own file is; relative paths start there. Empty for built-in."""
    places: dict[str, str] = Field(default_factory=dict)
    """Key, or line of `packages` -> file:line, for messages."""
    overlays: tuple[Overlay, ...] = ()
    """What `--overlay` put on it."""


_NOT_KEYS = ("name", "folder", "places", "overlays")


class Wishes(_Model):
    """Command-line overrides, as the user wrote them."""

    torch: str | None = None
    cuda: str | None = None
    python: str | None = None
    base: BaseName | None = None
    packages: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    """On top of the profile's own."""
    overlays: tuple[str, ...] = ()
    """Files."""
    allow_unknown: bool = False
    """A torch that the facts do not have may be taken as its index has it."""


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


def load(name: str, overlays: tuple[str, ...] = ()) -> Profile:
    """The profile `name` (built-in) or the file or folder it points to, merged with everything it extends.

    `overlays`: files of overlays, which the profile then carries.

    Raises UsageError that lists every problem of every file in the chain.
    """
    chain: list[strict_yaml.Document] = []
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
        document = strict_yaml.read(path, "a profile", "a profile needs at least `extends:` or `torch:`")
        raw = document.raw
        if "extends" in raw and not raw["extends"]:
            problems.append(f"{path.name}: extends: is empty; give it a value or delete the line")
        parent = raw.pop("extends", None)
        problems += _check(document)
        chain.append(document)
        if parent is not None and not isinstance(parent, str):
            problems.append(f"{path.name}: extends: must be the name of one profile")
            break
        path = _find(parent, path) if parent else None
    if problems:
        raise UsageError(f"profile {name} is wrong", details=problems, hint="docs/profiles.md lists every key")
    merged = chain[-1].raw
    for child in reversed(chain[:-1]):
        merged = _merge(merged, child.raw)
    places = _places(chain)
    chosen = {key: f": {places[key]} does" if key in places else "" for key in Profile.model_fields}
    added = overlay.load(overlays, {key: chosen[key] for key in chosen if key not in _NOT_KEYS} | {"extends": ""})
    own = seen[0]
    builtin = own.parent == resources.profiles()
    stem = own.parent.resolve().name if own.name == "imagekit.yaml" else own.stem
    folder = "" if builtin else str(own.parent)
    return Profile(name=stem, folder=folder, places=places, overlays=added, **merged)


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


def _check(document: strict_yaml.Document) -> list[str]:
    known = [key for key in Profile.model_fields if key not in _NOT_KEYS]
    return strict_yaml.problems(document, Profile, known, {}) or git_source.twice(document)


def _places(chain: list[strict_yaml.Document]) -> dict[str, str]:
    """Where the merged profile's versions come from: key, or line of `packages` -> file:line."""
    places: dict[str, str] = {}
    for document in reversed(chain):
        places |= {key: document.where(key) for key in document.raw}
        for number, line in enumerate(document.raw.get("packages", [])):
            places[str(line)] = document.where("packages", number)
        for name in document.raw.get("sources", {}):
            places[f"sources.{canonicalize_name(name)}"] = document.where("sources", name)
    return places


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """The child's entry replaces the parent's: by key for mappings, by normalised name for lists of packages."""
    merged = dict(parent)
    sourced = {canonicalize_name(name) for name in child.get("sources", {})}
    packaged = {_name(line) for line in child.get("packages", [])}
    merged["packages"] = [line for line in parent.get("packages", []) if _name(line) not in sourced]
    merged["sources"] = {n: v for n, v in parent.get("sources", {}).items() if canonicalize_name(n) not in packaged}
    for key, value in child.items():
        if key == "packages":
            merged[key] = list(({_name(p): p for p in merged[key]} | {_name(p): p for p in value}).values())
        elif key == "sources":
            merged[key] = {n: v for n, v in merged[key].items() if canonicalize_name(n) not in sourced} | value
        elif key == "expects" or isinstance(value, dict):
            merged[key] = {**parent.get(key, {}), **value}
        elif isinstance(value, list):
            merged[key] = [*parent.get(key, [])]
            merged[key] += [entry for number, entry in enumerate(value) if entry not in [*merged[key], *value[:number]]]
        else:
            merged[key] = value
    gone = {canonicalize_name(name) for name in child.get("remove", [])}
    for key in ("packages", "apt", "features", "wins"):
        merged[key] = [entry for entry in merged.get(key, []) if _name(entry) not in gone]
    merged["sources"] = {n: v for n, v in merged["sources"].items() if canonicalize_name(n) not in gone}
    merged["replace"] = {a: b for a, b in merged.get("replace", {}).items() if canonicalize_name(b) not in gone}
    merged["remove"] = []
    return merged


def _name(entry: str) -> str:
    try:
        return canonicalize_name(Requirement(entry).name)
    except InvalidRequirement:
        return canonicalize_name(entry)
