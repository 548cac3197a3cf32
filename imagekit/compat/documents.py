"""What a requirements.txt, a Dockerfile, `pip freeze` or an image says about versions, for `compat check`.

Only exact pins can be judged; how many lines have none is said. Nothing is run, and no file but the named one (and
what a requirements.txt includes) is read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from imagekit import requirements
from imagekit.compat.rules import Finding
from imagekit.errors import UsageError

LIMIT = 4_000_000
"""Bytes of a file that are read: more than any of these has."""

_VARIANT = re.compile(r"/whl/(?:nightly/)?cu(\d{2,3})\b")
_VALUED = (
    "-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t",
    "--target", "--prefix", "--timeout", "--retries", "--trusted-host", "--python", "--platform",
)  # fmt: skip
"""Options of `pip install` and `uv pip install` whose value is the next word."""

MERGED = "--extra-index-url merges two indexes: pip takes the newest version that either has, whoever put it there"


@dataclass
class Document:
    """What was read; written while reading, read afterwards."""

    torch: str = ""
    """2.1.0+cu118, as it is pinned."""
    cuda: str = ""
    """Of an index such as .../whl/cu121: "12.1"."""
    python: str = ""
    os: str = ""
    """bookworm, debian12."""
    base: str = ""
    """Of the last FROM that is no stage of the same file."""
    pins: dict[str, str] = field(default_factory=dict)
    """Normalised name -> exact version, besides torch."""
    findings: list[Finding] = field(default_factory=list)
    free: int = 0
    """Requirements without an exact version."""

    def take(self, line: str) -> None:
        """One requirement. Raises InvalidRequirement."""
        asked = Requirement(line)
        pins = [s.version for s in asked.specifier if s.operator in ("==", "===") and "*" not in s.version]
        name = canonicalize_name(asked.name)
        if not pins:
            self.free += 1
        elif name == "torch":
            self.torch = pins[0]
        else:
            self.pins[name] = pins[0].partition("+")[0]

    def index(self, where: str, option: str, url: str) -> None:
        variant = _VARIANT.search(url)
        if variant:
            self.cuda = self.cuda or f"{variant[1][:-1]}.{variant[1][-1]}"
        if option == "--extra-index-url":
            tip = "one index for each package, without --extra-index-url"
            self.findings.append(Finding("indexes", "no", f"{where}: {MERGED}", "pip: --extra-index-url", tip))

    def end(self) -> Document:
        if self.free:
            count = f"{self.free} requirement{'s have' if self.free > 1 else ' has'} no exact version"
            self.findings.append(Finding("pins", "note", f"{count}: what they become tomorrow cannot be judged"))
        return self


def of_requirements(path: Path, python: str) -> Document:
    """Raises UsageError for what cannot be read."""
    found = Document()
    try:
        read = requirements.read(path, python or "3.11")
    except UsageError as error:
        raise UsageError(error.message, details=error.details) from None
    for requirement in (*read.packages.values(), *read.family.values()):
        found.take(str(requirement).partition(";")[0])
    for left in read.left:
        option = left.line.split("=")[0].split()[0]
        if option in ("--index-url", "-i", "--extra-index-url", "-f", "--find-links"):
            found.index(left.where, option, left.line)
    found.cuda = found.cuda or read.cuda
    return found.end()


def of_image(reference: str, labels: Mapping[str, str], packages: Iterable[Mapping[str, Any]]) -> Document:
    """An image that imagekit built: its labels (without io.imagekit.) and the packages of its lock.

    Raises UsageError for any other image.
    """
    if "torch" not in labels:
        raise UsageError(
            f"{reference} was not built by imagekit: it does not say what it holds",
            hint=f"docker run --rm {reference} pip freeze | imagekit compat check --freeze",
        )
    own = {str(row["name"]): str(row["version"]) for row in packages if not row.get("standin")}
    own.pop("torch", None)
    version = f"{labels['torch']}+{labels['variant']}" if "variant" in labels else labels["torch"]
    system = "".join(labels.get("os", "").lower().split())
    return Document(version, labels.get("cuda", ""), labels.get("python", ""), system, pins=own)


def of_freeze(lines: Iterable[str]) -> Document:
    """The output of `pip freeze`. Raises UsageError where nothing in it is a pin."""
    found, count = Document(), 0
    for line in lines:
        text = line.split("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        try:
            found.take(text.partition(" @ ")[0] if " @ " in text else text)
            count += 1
        except InvalidRequirement:
            continue
    if not count:
        raise UsageError("nothing on stdin is a pin", hint="pip freeze | imagekit compat check --freeze")
    return found.end()


def of_dockerfile(path: Path) -> Document:
    """FROM, ARG and ENV, and what `pip install` names. Raises UsageError for what cannot be read."""
    try:
        text = path.read_bytes()[:LIMIT].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    found = Document()
    values: dict[str, str] = {}
    stages: set[str] = set()
    known = False
    for number, word, rest in _instructions(text):
        where, rest = f"{path.name}:{number}", _expanded(rest, values)
        if word == "FROM":
            known = True
            image, *name = [part for part in rest.split() if not part.startswith("--")] or [""]
            found.base = image if image not in stages else found.base
            stages |= {name[1]} if len(name) == 2 and name[0].upper() == "AS" else set()
        elif word in ("ARG", "ENV"):
            values |= _values(rest)
        elif word == "RUN":
            _run(where, rest, found)
    if not known:
        raise UsageError(f"{path} is not a Dockerfile: it has no FROM")
    python = re.match(r"(?:docker\.io/)?(?:library/)?python:(\d+\.\d+)", found.base)
    if python:
        found.python, found.base = python[1], ""
    return found.end()


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, instruction, its text) with lines that end in a backslash joined, comments left out."""
    waiting, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        first = first if waiting else number
        waiting += line.rstrip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            word, _, rest = waiting.strip().partition(" ")
            waiting = ""
            if word:
                yield first, word.upper(), rest.strip()


def _values(text: str) -> dict[str, str]:
    try:
        parts = shlex.split(text)
    except ValueError:
        return {}
    if parts and "=" not in parts[0]:
        return {parts[0]: " ".join(parts[1:])} if len(parts) > 1 else {}
    return {name: value for name, _, value in (part.partition("=") for part in parts) if value}


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """With ARG and ENV of the file in their places; a variable that the file does not set stays as it is."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1] or match[3]) or match[2] or match[0]

    return re.sub(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)", value, text)


def _run(where: str, text: str, found: Document) -> None:
    """Every `pip install` of a RUN."""
    for command in re.split(r"&&|\|\||;|\n", re.sub(r"^(--\S+\s+)+", "", text)):
        match = re.search(r"\b(?:uv\s+)?pip3?(?:\.\d+)?\s+install\s+(.*)", command)
        if not match:
            continue
        try:
            words = shlex.split(match[1])
        except ValueError:
            continue
        skip = ""
        for word in words:
            option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            if skip:
                found.index(where, skip, word)
                skip = ""
            elif option in _VALUED and not equals:
                skip = option
            elif word.startswith("-"):
                found.index(where, option, value)
            else:
                _package(word, found)


def _package(word: str, found: Document) -> None:
    try:
        found.take(word)
    except InvalidRequirement:
        return  # a folder, a URL, a wheel: nothing that has a version here
