"""What a requirements.txt, `pip freeze` or an image says about versions, for `compat check`; dockerfile.py reads those.

Only exact pins can be judged; how many lines have none is said. Nothing is run, and no file but the named one (and
what a requirements.txt includes) is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from imagekit import requirements
from imagekit.compat.compiled import Compiled
from imagekit.compat.rules import Finding
from imagekit.errors import UsageError, without_logins

LIMIT = 4_000_000
"""Bytes of a file: more than any of these has."""

LONGEST = 65_536
"""Characters of the value of a variable."""

PINS = 5_000
"""Lines of a `pip freeze`: more than any environment has."""

_VARIANT = re.compile(r"/whl/(?:nightly/)?cu(\d{2,3})\b")
MERGED = "--extra-index-url merges two indexes: pip takes the newest version that either has, whoever put it there"


_TARGET = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
"""Markers of a Dockerfile's lines are judged for an image of Linux, and for the Python that runs this."""


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


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
    compiled: Compiled | None = None
    """Of an image whose libraries were read."""
    free: int = 0
    """Requirements without an exact version."""

    def take(self, line: str) -> None:
        """One requirement. Raises InvalidRequirement."""
        asked = Requirement(line)
        pins = [s.version for s in asked.specifier if s.operator in ("==", "===") and "*" not in s.version]
        name = canonicalize_name(asked.name)
        if asked.marker and not asked.marker.evaluate(_TARGET):
            return
        if not pins or not _is_version(pins[0]):
            self.free += 1
        elif len(set(pins)) > 1:
            text = f"{name} is pinned to {' and to '.join(sorted(set(pins)))}: pip refuses them together"
            self.findings.append(Finding("pins", "no", text, "pip", f"one version of {name}"))
        elif name == "torch" and not re.fullmatch(r"\d+\.\d+(\.\d+)?(\+cu\d{3})?", pins[0]):
            text = f"torch {pins[0]} is none that the facts can judge: a release for CUDA is 2.9.1 or 2.9.1+cu128"
            self.findings.append(Finding("pins", "unknown", text, "torch"))
        else:
            version = pins[0] if name == "torch" else pins[0].partition("+")[0]
            before = self.torch if name == "torch" else self.pins.get(name, "")
            if before and Version(before) != Version(version):
                text = f"{name} is pinned twice, {before} and {version}: the later one was judged"
                self.findings.append(Finding("pins", "note", text))
            if name == "torch":
                self.torch = version
            else:
                self.pins[name] = version

    def unread(self, where: str, what: str) -> None:
        """Something that installs, of which this cannot tell what."""
        shown = without_logins(what)[:80]
        self.findings.append(Finding("pins", "unknown", f"{where}: {shown}: what it installs was not judged"))

    def index(self, where: str, option: str, url: str) -> None:
        variant = _VARIANT.search(url)
        if variant:
            self.cuda = self.cuda or f"{variant[1][:-1]}.{variant[1][-1]}"
        if option == "--extra-index-url":
            tip = "one index for each package, without --extra-index-url"
            self.findings.append(Finding("indexes", "no", f"{where}: {MERGED}", "pip: --extra-index-url", tip))

    def end(self) -> Document:
        if self.free:
            count = "requirements have" if self.free > 1 else "requirement has"
            become = "they become" if self.free > 1 else "it becomes"
            text = f"{self.free} {count} no exact version: what {become} tomorrow cannot be judged"
            self.findings.append(Finding("pins", "note", text))
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


def of_image(
    reference: str, labels: Mapping[str, str], packages: Iterable[Mapping[str, Any]], code: Mapping[str, Any] | None
) -> Document:  # fmt: skip
    """An image that imagekit built: its labels (without io.imagekit.) and the packages of its lock.

    `code`: library -> (machine code, PTX) for GPUs that is in it; None where nobody looked.

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
    found = Document(version, labels.get("cuda", ""), labels.get("python", ""), system, pins=own)
    if code:
        found.compiled = Compiled({name: (tuple(machine), tuple(ptx)) for name, (machine, ptx) in code.items()})
    elif code is not None:
        text = "no library in it has code for GPUs: it was judged by its labels"
        found.findings.append(Finding("gpu", "unknown", text, "its libraries"))
    return found


def of_freeze(lines: Iterable[str]) -> Document:
    """The output of `pip freeze`. Raises UsageError where nothing in it is a pin."""
    found, count = Document(), 0
    for number, line in enumerate(lines):
        if number > PINS:
            raise UsageError(f"stdin has more than {PINS} lines", hint="pip freeze | imagekit compat check --freeze")
        text = line[:LONGEST].split("#")[0].strip()
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


def bounded(path: Path) -> str:
    """The text of a file. Raises UsageError for what is no file, is larger than LIMIT, or is no UTF-8."""
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise UsageError(f"{path} has more than {LIMIT // 1_000_000} MB")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
