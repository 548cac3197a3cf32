"""What a company adds to any profile: a layer of its own, from a file of its own (`--overlay company.yaml`).

An overlay adds and never chooses: no torch, CUDA, Python or base, and no exact version other than the profile's
(`compat.overlaid` compares them). Paths in it start at its own folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from imagekit import git_source, strict_yaml, trust
from imagekit.errors import UsageError
from imagekit.git_source import GitSource
from imagekit.git_source import Name as SourceName
from imagekit.profile_fields import (
    AptComponent,
    AptName,
    AptSuite,
    AptUri,
    EnvName,
    LabelName,
    Line,
    Pep508,
    ShortName,
    Source,
    Step,
    Target,
)

RESERVED = re.compile(r"py\d+|image[0-9a-f]{6}|with-.*|failed|dev|\d{8}|latest")
"""What else a tag ends with (docs/tags.md)."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AptSource(_Model):
    """An archive of distribution packages, and the key that signs it."""

    name: ShortName
    uri: AptUri
    suites: list[AptSuite] = Field(min_length=1)
    """A suite that ends with / is a folder of packages and takes no components."""
    components: list[AptComponent] = Field(default_factory=list)
    key: Source
    """OpenPGP public key beside the overlay, armoured or binary."""


class Overlay(_Model):
    name: str
    about: Line = ""
    packages: list[Pep508] = Field(default_factory=list)
    sources: dict[SourceName, GitSource] = Field(default_factory=dict)
    apt: list[AptName] = Field(default_factory=list)
    apt_sources: list[AptSource] = Field(default_factory=list)
    trust: list[Source] = Field(default_factory=list)
    """PEM files: roots that every program of the image trusts."""
    features: list[str] = Field(default_factory=list)
    env: dict[EnvName, Line] = Field(default_factory=dict)
    files: dict[Source, Target] = Field(default_factory=dict)
    labels: dict[LabelName, Line] = Field(default_factory=dict)
    start: Source = ""
    """A program that wraps the command, after the preflight."""
    steps: list[Step] = Field(default_factory=list)
    """Shell lines, run as root in one layer above the wheels."""
    checks: list[Source] = Field(default_factory=list)
    path: str = ""
    """The file, as it was named."""
    places: dict[str, str] = Field(default_factory=dict)
    """`packages.0` -> file:line, for messages."""

    @property
    def folder(self) -> Path:
        return Path(self.path).parent

    def place(self, key: str, number: int) -> str:
        return self.places.get(f"{key}.{number}", Path(self.path).name)

    def certificates(self) -> dict[str, bytes]:
        """File name in the image -> one certificate; update-ca-certificates takes one for each file. ValueError."""
        found: dict[str, bytes] = {}
        for source in self.trust:
            stem = f"{self.name}-{re.sub(r'[^A-Za-z0-9._-]', '-', Path(source).stem)}"
            for number, block in enumerate(trust.certificates(self.folder / source), 1):
                found[f"{stem}.crt" if number == 1 else f"{stem}-{number}.crt"] = block
        return found

    def key(self, source: AptSource) -> tuple[str, bytes]:
        """File name in /etc/apt/keyrings, and the key. ValueError."""
        ending, content = trust.openpgp(self.folder / source.key)
        return f"{source.name}{ending}", content


def load(paths: tuple[str, ...], chosen: Mapping[str, str]) -> tuple[Overlay, ...]:
    """The overlays, in order. `chosen`: keys that only a profile has -> where this profile has them.

    Raises UsageError that lists every problem of every file.
    """
    problems: list[str] = []
    found: list[Overlay] = []
    for name in paths:
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"--overlay: there is no file {path}", hint="--overlay names a YAML file")
        document = strict_yaml.read(path, "an overlay", "docs/overlays.md lists every key")
        known = [key for key in Overlay.model_fields if key not in ("name", "path", "places")]
        other = {key: f"an overlay adds to a profile and does not set this{place}" for key, place in chosen.items()}
        wrong = _name_problems(path.stem, [overlay.name for overlay in found])
        wrong += strict_yaml.problems(document, Overlay, known, other) or git_source.twice(document)
        if not wrong:
            places = {".".join(place): document.where(*place) for place in document.lines}
            overlay = Overlay(name=path.stem, path=name, places=places, **document.raw)
            wrong += _file_problems(overlay)
            found.append(overlay)
        problems += wrong
    if problems:
        raise UsageError("the overlay is wrong", details=problems, hint="docs/overlays.md lists every key")
    _each_once(found)
    return tuple(found)


def _name_problems(stem: str, before: list[str]) -> list[str]:
    """The file's name becomes a tag suffix and part of the lock's folder."""
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", stem) or len(stem) > 30:
        return [f"{stem}: an overlay is named by its file: at most 30 of a-z, 0-9, and single . _ - between them"]
    if RESERVED.fullmatch(stem):
        return [f"{stem}: a tag that ends so says something else (docs/tags.md); give the file another name"]
    return [f"{stem}: two overlays have this name"] if stem in before else []


def _file_problems(overlay: Overlay) -> list[str]:
    """Files that are not there, lead out of the overlay's folder, or are not what their key says."""
    problems = []
    name, root = Path(overlay.path).name, overlay.folder.resolve()
    keys = [(f"apt_sources.{number}.key", source.key) for number, source in enumerate(overlay.apt_sources)]
    rows = [
        *(("trust", source) for source in overlay.trust),
        *keys,
        *([("start", overlay.start)] if overlay.start else []),
    ]
    for field, source in rows:
        path = overlay.folder / source
        if not path.resolve().is_relative_to(root):
            problems.append(f"{name}: {field}: {source} is a link that leads out of the overlay's folder")
        elif not path.is_file():
            problems.append(f"{name}: {field}: there is no {path}")
        else:
            problems += [f"{name}: {field}: {source} {text}" for text in _content_problems(field, path)]
    for number, entry in enumerate(overlay.apt_sources):
        flat = [suite.endswith("/") for suite in entry.suites]
        if any(flat) and (not all(flat) or entry.components):
            problems.append(f"{name}: apt_sources.{number}: a suite that ends with / takes no components")
        if not any(flat) and not entry.components:
            problems.append(f"{name}: apt_sources.{number}: components is missing (main), or the suite's final /")
    return problems


def _content_problems(field: str, path: Path) -> list[str]:
    try:
        if field == "trust":
            trust.certificates(path)
        elif field == "start":
            with path.open("rb") as file:
                if file.read(2) != b"#!":
                    raise ValueError(
                        'is no script: its first line names its interpreter (#!/bin/sh), its last is exec "$@"'
                    )
        else:
            trust.openpgp(path)
    except ValueError as error:
        return [str(error)]
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    return []


def _each_once(overlays: list[Overlay]) -> None:
    """Two overlays, or two files of one, may not claim one place in the image."""
    owners: dict[tuple[str, str], str] = {}
    problems = []
    for overlay in overlays:
        rows = [("apt_sources", source.name) for source in overlay.apt_sources]
        rows += [("trust", f"{overlay.name}-{Path(source).stem}") for source in overlay.trust]
        for row in rows:
            if row in owners:
                problems.append(f"{overlay.path}: {row[0]}: {row[1]} is in {owners[row]} already")
            owners[row] = overlay.path
    if problems:
        raise UsageError("two overlays, or two lines of one, claim the same file", details=problems)
