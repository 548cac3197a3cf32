"""Requirements files of a profile: the lines that say what is wanted. What says where from, or how, is refused.

pip's format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from imagekit import repository
from imagekit.errors import UsageError

_SOURCE = "where packages come from is said by the site file"
_LOCAL = "a folder or file of this machine is no locked wheel: copy it with files:, or serve its wheel from an index"
_HOW = "how packages are chosen and installed is imagekit's"
_REASONS = {
    "-i": _SOURCE, "--index-url": _SOURCE, "--extra-index-url": _SOURCE, "-f": _SOURCE, "--find-links": _SOURCE,
    "--no-index": _SOURCE, "--trusted-host": _SOURCE, "-e": _LOCAL, "--editable": _LOCAL,
    "-c": "constraints belong into packages: or another requirements file; the lock pins everything",
}  # fmt: skip
_REASONS["--constraint"] = _REASONS["-c"]
_UNKNOWN_HERE = ("python_full_version", "platform_release", "platform_version", "implementation_version")
"""Markers whose values are not known before the image is there: these are left to uv."""


@dataclass(frozen=True)
class Line:
    text: str
    """PEP 508; without a marker where it could be judged."""
    where: str
    """file:line"""
    hashes: tuple[str, ...] = ()
    """sha256 of the files that would do; empty where the line names none."""
    git: str = ""
    """Address of the repository of a line `name @ git+address@ref`; its text is the name then."""
    ref: str = ""

    @property
    def name(self) -> str:
        return canonicalize_name(Requirement(self.text).name)

    @property
    def shown(self) -> str:
        return f"{self.text} @ git+{self.git}@{self.ref}" if self.git else self.text


def requirements(folder: Path, names: list[str], python: str) -> list[Line]:
    """All requirements that hold for the image, `-r` followed within the folder. `python`: 3.11.

    Raises UsageError that lists every line of every file that cannot be taken.
    """
    problems: list[str] = []
    seen: list[Path] = []
    found: list[Line] = []
    for name in names:
        found += _file(folder / name, folder, python, seen, problems)
    first: dict[str, Line] = {}
    for line in found:
        other = first.setdefault(line.name, line)
        if (other.text, other.git, other.ref) != (line.text, line.git, line.ref):
            problems.append(f"{line.where}: {line.shown}: {other.where} has {other.shown}")
    if problems:
        raise UsageError("the requirements hold what imagekit does not take", details=problems)
    return found


def _file(path: Path, folder: Path, python: str, seen: list[Path], problems: list[str]) -> Iterator[Line]:
    if not path.resolve().is_relative_to(folder.resolve()):
        problems.append(f"requirements: {path.name} is outside of the profile's folder")
        return
    if path.resolve() in seen:
        return
    seen.append(path.resolve())
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"requirements: {path} cannot be read: {getattr(error, 'strerror', None) or error}")
        return
    for number, line in _joined(text):
        where = f"{path.resolve().relative_to(folder.resolve())}:{number}"
        include = re.fullmatch(r"(?:-r|--requirement)(?:\s+|=|(?<=-r))(\S+)", line)
        if include:
            yield from _file(path.parent / include[1], folder, python, seen, problems)
            continue
        try:
            found = _line(line, where, python)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if found:
            yield found


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued ones as one, with the number of their first."""
    held, start = "", 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        start = start if held else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            held += raw[:-1] + " "
            continue
        line = re.sub(r"(^|\s)#.*", "", held + raw).strip()
        held = ""
        if line:
            yield start, line


def _line(line: str, where: str, python: str) -> Line | None:
    """Raises ValueError saying why not; None where its marker does not hold."""
    word = re.split(r"[\s=]", line)[0]
    if re.search(r"\$\{[A-Z0-9_]+\}", line):
        raise ValueError("a variable of this machine would decide what is installed: write its value")
    if word.startswith("-"):
        raise ValueError(f"{word}: {_REASONS.get(word, _REASONS.get(word[:2], _HOW) if word[1] != '-' else _HOW)}")
    hashes = tuple(sorted(re.findall(r"--hash[= ]sha256:([0-9a-f]{64})(?!\S)", line)))
    wrong = [part for part in re.findall(r"\s(--?[a-z][\w-]*(?:[= ]\S+)?)", line) if not _sha256(part)]
    if wrong:
        raise ValueError(f"{wrong[0][:60]}: " + ("only sha256 is compared" if "--hash" in wrong[0] else _HOW))
    text = re.split(r"\s--?[a-z]", line)[0].strip()
    if "git+" in text:
        return _git(text, where, bool(hashes))
    if "://" in text:
        raise ValueError(f"{_shown(text)} names a URL: {_SOURCE}")
    if text.startswith((".", "/", "~")) or re.search(r"\.(whl|zip|tar\.(gz|bz2|xz))$", text):
        raise ValueError(f"{text}: {_LOCAL}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"{text!r} is not a requirement (PEP 508): {str(error).splitlines()[0]}") from None
    if requirement.marker and not any(name in str(requirement.marker) for name in _UNKNOWN_HERE):
        if not _holds(requirement.marker, python):
            return None
        requirement.marker = None
        text = str(requirement)
    return Line(text, where, hashes)


def _git(text: str, where: str, hashes: bool) -> Line:
    try:
        found = repository.named(text)
    except ValueError as error:
        raise ValueError(f"{_shown(text)} {error}") from None
    if found is None:
        raise ValueError(f"{_shown(text)} names a URL: a git repository is NAME @ git+URL@REF, or one of sources:")
    if hashes:
        raise ValueError(f"{_shown(text)}: a git repository has no hash of a file; the lock has its commit")
    return Line(found[0], where, git=found[1], ref=found[2])


def _sha256(option: str) -> bool:
    return re.fullmatch(r"--hash[= ]sha256:[0-9a-f]{64}", option) is not None


def _shown(url: str) -> str:
    """A URL without what may be a password."""
    return re.sub(r"//[^/@\s]*@", "//", url)


def _holds(marker: Marker, python: str) -> bool:
    return marker.evaluate({
        "python_version": python, "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
        "platform_machine": "x86_64", "implementation_name": "cpython", "platform_python_implementation": "CPython",
        "extra": "",
    })  # fmt: skip
