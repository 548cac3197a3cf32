"""A requirements.txt read as a wish list: what of it a profile can say, and why the rest cannot be said there.

pip's format (https://pip.pypa.io/en/stable/reference/requirements-file-format/). A profile names no source, so URLs,
paths and indexes are left out with a reason; what follows torch loses its pin; a line that is no requirement is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from imagekit.errors import UsageError, without_logins
from imagekit.family import FAMILY

_FOLLOWS = re.compile(
    r"(nvidia-(cublas|cuda-(cupti|nvrtc|runtime)|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt|nccl|nvjitlink|nvshmem|"
    r"nvtx)(-cu\d+)?|triton|pytorch-triton)"
)
"""What torch's own metadata requires, in one exact version."""

_OPTION = re.compile(r"(-[a-zA-Z]|--[a-z-]+)(?:[ =]+|(?<=-[a-zA-Z]))(.*)|(--?[a-zA-Z-]+)")
_VARIANT = re.compile(r"/whl/(?:nightly/)?cu(\d{2,3})\b")

INCLUDED = 100
"""Files that may include each other."""

_REASONS = {
    "-e": "a folder of this machine: copy it with `files:`",
    "--editable": "a folder of this machine: copy it with `files:`",
    "-c": "constraints: the lock pins every version; a range that must hold goes into `packages:`",
    "--constraint": "constraints: the lock pins every version; a range that must hold goes into `packages:`",
    "--pre": "pre-releases: a requirement that names one allows it, as `x >=2.0rc1`",
    "--require-hashes": "the lock has hashes of its own",
    "--no-binary": "how a package is built is a recipe, not a requirement",
    "--only-binary": "wheels are taken wherever there are any",
    "--prefer-binary": "wheels are taken wherever there are any",
}
_SOURCE = "where packages come from is said by a site file (docs/site.md)"
_GIT = "a git repository goes under `sources:` (docs/profiles.md)"


@dataclass(frozen=True)
class Left:
    """One line that a profile does not take."""

    where: str
    """requirements.txt:7"""
    line: str
    because: str


@dataclass
class Read:
    """What the lines came to; written while reading, read afterwards."""

    packages: dict[str, Requirement] = field(default_factory=dict)
    """Normalised name -> what is asked of it."""
    family: dict[str, Requirement] = field(default_factory=dict)
    """Of torch, torchvision, torchaudio: the line."""
    cuda: str = ""
    """CUDA of an index such as .../whl/cu121, or of a local version such as 2.4.1+cu121: "12.1"."""
    left: list[Left] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def read(path: Path, python: str) -> Read:
    """`python`: the image's, "3.11", for markers. Raises UsageError that lists every line which is no requirement."""
    result = Read()
    problems: list[str] = []
    for where, line in _lines(path, [], problems):
        if line.startswith("-"):
            _option(where, line, result)
            continue
        text = re.sub(r"\s--(hash|config-settings?|global-option)[ =].*", "", line)
        if text != line:
            result.left.append(Left(where, f"{text.split()[0]} ... --hash", "the lock has hashes of its own"))
        if re.match(r"[\w+]+://|\.{0,2}/|file:", text) or text.endswith((".whl", ".tar.gz", ".zip")):
            result.left.append(
                Left(where, without_logins(text), _GIT if "git+" in text else f"a URL or a file: {_SOURCE}")
            )
            continue
        try:
            asked = Requirement(text)
        except InvalidRequirement as error:
            why = str(error).splitlines()[0]
            problems.append(
                f"{where}: {without_logins(text)[:200]!r} is not a requirement (PEP 508): {without_logins(why)[:200]}"
            )
            continue
        _requirement(where, asked, python, result)
    if problems:
        raise UsageError(f"{path} cannot be read as requirements", details=problems, hint="nothing was written")
    return result


def _requirement(where: str, asked: Requirement, python: str, result: Read) -> None:
    name = canonicalize_name(asked.name)
    if asked.url:
        because = _GIT if asked.url.startswith("git+") else f"names a URL: {_SOURCE}"
        result.left.append(Left(where, without_logins(str(asked)), because))
    elif asked.marker and not _holds(asked.marker, python):
        result.left.append(Left(where, str(asked), f"for other platforms than Linux on x86_64 with Python {python}"))
    elif name in FAMILY:
        if name in result.family:
            asked.specifier &= result.family[name].specifier
        result.family[name] = asked
        local = next((s.version.partition("+")[2] for s in asked.specifier if "+" in s.version), "")
        result.cuda = result.cuda or _cuda(local.removeprefix("cu"))
    elif _FOLLOWS.fullmatch(name):
        result.left.append(Left(where, str(asked), "follows torch, which requires the version that it was built with"))
    elif name in result.packages:
        known = result.packages[name]
        known.specifier &= asked.specifier
        known.extras |= asked.extras
    else:
        asked.name = name
        result.packages[name] = asked
        if name in ("opencv-python", "opencv-contrib-python"):
            result.hints.append(
                f"{where}: {name} has windows and brings libGL; without them {name}-headless is the same module"
            )


def _option(where: str, line: str, result: Read) -> None:
    match = _OPTION.fullmatch(line)
    name = (match[1] or match[3]) if match else line.split()[0]
    found = _VARIANT.search(line)
    if found:
        result.cuda = result.cuda or _cuda(found[1])
    because = _REASONS.get(name, _SOURCE if re.search("index|find-links|host|-i|-f", name) else "an option of pip")
    result.left.append(
        Left(where, without_logins(line), because + (f"; taken as CUDA {_cuda(found[1])}" if found else ""))
    )


def _lines(path: Path, seen: list[Path], problems: list[str]) -> Iterator[tuple[str, str]]:
    """(file:line, text) of every line with something on it, those of included files in their place."""
    if path.resolve() in seen:
        return
    if len(seen) > INCLUDED:
        problems.append(f"{path}: more than {INCLUDED} files include each other")
        return
    seen.append(path.resolve())
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "it is no file")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(f"{path} is not UTF-8 (byte {error.start})")
        return
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return
    waiting, first = "", 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        first = first if waiting else number
        line = _without_comment(raw)
        if line.endswith("\\"):
            waiting += line[:-1].strip() + " "
            continue
        line, waiting = (waiting + line).strip(), ""
        included = re.fullmatch(r"(?:-r|--requirement)[ =]*(.+)", line)
        if included:
            yield from _lines(path.parent / included[1].strip(), seen, problems)
        elif line:
            yield f"{path.name}:{first}", line


def _without_comment(raw: str) -> str:
    """A # begins a comment at the start of a line and after a space."""
    at = 0 if raw.startswith("#") else min((raw.find(f"{space}#") for space in " \t" if f"{space}#" in raw), default=-1)
    return raw[:at].strip() if at >= 0 else raw.strip()


def _holds(marker: Marker, python: str) -> bool:
    return marker.evaluate({
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64",
        "python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    })  # fmt: skip


def _cuda(digits: str) -> str:
    return f"{digits[:-1]}.{digits[-1]}" if re.fullmatch(r"\d{2,3}", digits) else ""
