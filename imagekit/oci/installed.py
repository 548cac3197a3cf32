"""A wheel -> the files that it becomes in an image, as an installer would place them.

PEP 427 and the specifications of entry points and of recorded projects. The layout is that of the Dockerfile engines:
/opt/venv, with site-packages below lib/python, so that a wheel for every Python is one layer for all of them.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name

from imagekit.oci.archive import Member, content, members, refused, sha256

VENV = "opt/venv"
SITE = f"{VENV}/lib/python/site-packages"
INSTALLER = "imagekit"
SHEBANG = "#!/opt/venv/bin/python\n"

_SCRIPT = """# -*- coding: utf-8 -*-
import sys
from {module} import {first}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({function}())
"""
"""The same text as uv's, so that both engines make the same tree."""

_INTERPRETER = re.compile(rf"{VENV}/bin/python[\d.]*")

_TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<function>\w+(?:\.\w+)*)\s*(?:\[.*\])?")


@dataclass(frozen=True)
class File:
    """A file of the image."""

    path: str
    content: Member | bytes
    """What the archive has, as it is there; or what was made here."""
    executable: bool = False
    sha256: str = ""
    """As RECORD has it, urlsafe base64; empty for RECORD itself."""

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.size


def files(wheel: Path, python: str) -> tuple[File, ...]:
    """Sorted by path. `python`: "3.11", for headers. Raises BuildFailed for a wheel that cannot be installed."""
    found = {member.name: member for member in members(wheel)}
    info = _dist_info(wheel, found)
    recorded = _recorded(wheel, found, info)
    problems: list[str] = []
    rows: list[File] = []
    for member in found.values():
        if member.name.startswith(f"{info}/") and member.name.rpartition("/")[2] in _MADE_HERE:
            continue
        place, problem = _place(member.name, info, python)
        if problem:
            problems.append(problem)
        else:
            rows.append(_file(place, member, recorded.get(member.name, "")))
    try:
        if points := found.get(f"{info}/entry_points.txt"):
            scripts = {script.path: script for script in _scripts(content(points))}
            if (
                info.startswith("pip-") and f"{VENV}/bin/pip" in scripts
            ):  # every installer gives pip a name with the version of its Python
                pip = replace(scripts[f"{VENV}/bin/pip"], path=f"{VENV}/bin/pip{python}")
                scripts[pip.path] = pip
            rows = [row for row in rows if row.path not in scripts] + list(scripts.values())
    except ValueError as error:
        problems.append(f"entry_points.txt: {error}")
    rows.append(_made(f"{SITE}/{info}/INSTALLER", INSTALLER.encode()))
    rows.append(_made(f"{SITE}/{info}/REQUESTED", b""))
    paths = Counter([*(row.path for row in rows), f"{SITE}/{info}/RECORD"])
    problems += [f"two of its files become /{path}" for path, n in paths.items() if n > 1]
    problems += [f"/{path} is the interpreter of the image" for path in paths if _INTERPRETER.fullmatch(path)]
    problems += _below_files({row.path for row in rows})
    if problems:
        raise refused(wheel, problems)
    rows.append(_record(rows, f"{SITE}/{info}/RECORD"))
    return tuple(sorted(rows, key=lambda row: row.path.split("/")))


_MADE_HERE = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files of .dist-info that an installer writes."""


def _dist_info(wheel: Path, found: dict[str, Member]) -> str:
    """The name of its .dist-info, which must be the one of the file's name."""
    name, version = wheel.name.split("-")[:2]
    folders = {first for first, _, _ in (path.partition("/") for path in found) if first.endswith(".dist-info")}
    if len(folders) != 1:
        raise refused(wheel, [f"it has {len(folders)} folders that end with .dist-info: {', '.join(sorted(folders))}"])
    (info,) = folders
    own, _, rest = info.removesuffix(".dist-info").partition("-")
    missing = [f"{info}/{file} is missing" for file in ("METADATA", "RECORD", "WHEEL") if f"{info}/{file}" not in found]
    if canonicalize_name(own) != canonicalize_name(name) or not rest:
        missing.append(f"the file is called {name} {version}, and holds {info}")
    if missing:
        raise refused(wheel, missing)
    said = HeaderParser().parsestr(content(found[f"{info}/WHEEL"]).decode("utf-8", "replace"))
    number = str(said.get("Wheel-Version") or "").strip()
    if not re.fullmatch(r"1\.\d+", number):
        raise refused(wheel, [f"it is of version {number or 'none'} of the format; 1.x are known"])
    return info


def _recorded(wheel: Path, found: dict[str, Member], info: str) -> dict[str, str]:
    """name -> sha256 in urlsafe base64, as RECORD has it.

    A file that RECORD does not know, or one of the metadata of which it tells what is not so (top_level.txt of decord
    0.6.0), gets its own; one that is not there is left out. Raises BuildFailed for what is not so of code.
    """
    text = content(found[f"{info}/RECORD"]).decode("utf-8", "replace")
    try:
        rows = {row[0]: row for row in csv.reader(io.StringIO(text)) if row}
    except csv.Error as error:
        raise refused(wheel, [f"RECORD is no table: {error}"]) from None
    free = {f"{info}/{file}" for file in _MADE_HERE}
    problems, digests = list[str](), {}
    for name, member in found.items():
        if name in free:
            continue
        digest, size = (*rows.get(name, ()), "", "", "")[1:3]
        algorithm, _, value = digest.partition("=")
        fits = not size or size == str(member.size)
        if name in rows and not fits and not name.startswith(f"{info}/"):
            problems.append(f"RECORD gives {name!r} {size} bytes, it has {member.size}")
        elif algorithm == "sha256" and value and fits:
            digests[name] = value.rstrip("=")
        else:
            digests[name] = _text(sha256(member))
    if problems:
        raise refused(wheel, problems)
    return digests


def for_every_python(files: Iterable[File], python: str) -> bool:
    """Whether `files` would give the same for another Python than `python`: all but headers, and pip's own script."""
    return not any(
        file.path.startswith(f"{VENV}/include/site/python") or file.path == f"{VENV}/bin/pip{python}" for file in files
    )


def _place(name: str, info: str, python: str) -> tuple[str, str]:
    """(path in the image, "") or ("", what is wrong)"""
    data = f"{info.removesuffix('.dist-info')}.data/"
    if not name.startswith(data):
        return f"{SITE}/{name}", ""
    kind, _, rest = name.removeprefix(data).partition("/")
    own = info.partition("-")[0]
    places = {
        "purelib": SITE, "platlib": SITE, "scripts": f"{VENV}/bin", "data": VENV,
        "headers": f"{VENV}/include/site/python{python}/{own}",
    }  # fmt: skip
    if kind not in places or not rest:
        return "", f"{name!r}: nobody knows where files of {kind!r} go"
    if kind == "data" and (rest.startswith("lib/python") or rest in ("pyvenv.cfg", "lib")):
        return "", f"{name!r}: it would be in the place of what the environment is made of"
    return f"{places[kind]}/{rest}", ""


def _file(place: str, member: Member, digest: str) -> File:
    if not place.startswith(f"{VENV}/bin/"):
        return File(place, member, member.executable, digest)
    text = content(member)
    if not text.startswith(b"#!python"):
        return File(place, member, True, digest)
    return _made(place, SHEBANG.encode() + text.partition(b"\n")[2], executable=True)


def _scripts(text: bytes) -> Iterator[File]:
    """Console and GUI scripts. Raises ValueError for an entry that is none."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text.decode("utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser.items(section) if parser.has_section(section) else ():
            match = _TARGET.fullmatch((target or "").strip())
            if not match or not re.fullmatch(r"[\w.+-]+", name) or name in (".", ".."):
                raise ValueError(f"{name} = {target}")
            function = match["function"]
            script = _SCRIPT.format(module=match["module"], first=function.partition(".")[0], function=function)
            yield _made(f"{VENV}/bin/{name}", (SHEBANG + script).encode(), executable=True)


def _made(path: str, text: bytes, executable: bool = False) -> File:
    return File(path, text, executable, _digest(text))


def _digest(text: bytes) -> str:
    return _text(hashlib.sha256(text).digest())


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _record(rows: list[File], path: str) -> File:
    """RECORD of what is installed, sorted; names are relative to site-packages."""
    lines = [(_relative(row.path), f"sha256={row.sha256}", str(row.size)) for row in rows]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted([*lines, (_relative(path), "", "")]))
    return File(path, out.getvalue().encode())


def _relative(path: str) -> str:
    inside = path.removeprefix(f"{SITE}/")
    return inside if inside != path else f"../../../{path.removeprefix(f'{VENV}/')}"


def _below_files(paths: set[str]) -> list[str]:
    """Files that are in the place of a folder of another."""
    found = []
    for path in sorted(paths):
        parts = path.split("/")
        above = ("/".join(parts[:end]) for end in range(1, len(parts)))
        found += [f"/{folder} is a file, and the folder of /{path}" for folder in above if folder in paths]
    return found
