"""Licences as SPDX expressions: of a wheel by its METADATA, of a distribution package by its copyright file.

What has no identifier of SPDX gets a LicenseRef with the very words: nobody guesses how many clauses a "BSD" has.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from email.parser import HeaderParser

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

NONE = "NOASSERTION"

LONG = 60
"""Characters from which on a License field is a text and not a name."""


@dataclass(frozen=True)
class License:
    expression: str = NONE
    """Of SPDX; NOASSERTION where nothing is said that can be read."""
    refs: dict[str, str] = field(default_factory=dict)
    """LicenseRef of it -> what was said."""


_WORDS = {
    "mit": "MIT", "expat": "MIT", "isc": "ISC", "isc iscl": "ISC", "zlib": "Zlib", "psf": "PSF-2.0", "x11": "X11",
    "apache 2.0": "Apache-2.0", "apache 2": "Apache-2.0", "0bsd": "0BSD", "bsd 1 clause": "BSD-1-Clause",
    "bsd 2 clause": "BSD-2-Clause", "2 clause bsd": "BSD-2-Clause", "bsd 3 clause": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause", "bsd 3": "BSD-3-Clause", "bsd 4 clause": "BSD-4-Clause", "mpl 1.1": "MPL-1.1",
    "mpl 2.0": "MPL-2.0", "mozilla public 2.0 mpl 2.0": "MPL-2.0", "python foundation": "PSF-2.0", "hpnd": "HPND",
    "nvidia proprietary": "LicenseRef-NVIDIA-Proprietary", "unlicense": "Unlicense", "cc0 1.0": "CC0-1.0",
    "fsfullr": "FSFULLR", "fsfap": "FSFAP", "fsful": "FSFUL", "bsl 1.0": "BSL-1.0", "ftl": "FTL",
    "afl 2.1": "AFL-2.1", "openssl": "OpenSSL", "beerware": "Beerware", "ijg": "IJG", "ofl 1.1": "OFL-1.1",
}  # fmt: skip
"""Words, as `_plain` leaves them -> identifier of SPDX, where there is only one that they can mean."""

_EMPTY = ("license", "licence", "licensed", "software", "the", "version", "agreement")

_GNU = re.compile(
    r"(?P<name>a?gpl|lgpl|gfdl)[- ]?v?(?P<version>\d(?:\.\d)?)(?:\.0)?(?P<later>\+|-or-later)?", re.IGNORECASE
)


def of_wheel(metadata: str) -> License:
    """`metadata`: of METADATA, the header at least (PEP 566, PEP 639)."""
    said = HeaderParser().parsestr(metadata)
    for text in said.get_all("License-Expression", []):
        if found := _expression(text.strip()):
            return _with_words(found, f"{found}, as its METADATA has it")
    text = (said.get("License") or "").strip()
    first = text.splitlines()[0].strip() if text else ""
    classified = [line.rpartition("::")[2].strip() for line in said.get_all("Classifier", []) if "License ::" in line]
    names = [name for name in dict.fromkeys(classified) if name not in ("OSI Approved", "Other/Proprietary License")]
    field = first if first and len(first) < LONG and first.upper() != "UNKNOWN" else ""
    if len(names) > 1:  # which of them, or all?
        return _named("python", "; ".join(filter(None, [field, *names])))
    for word in filter(None, [field, *names]):
        if found := _expression(word) or _WORDS.get(_plain(word), ""):
            return _with_words(found, word)
    for word in filter(None, [field, *names, *classified]):
        return _named("python", word)
    return License()


def of_debian(copyright: str) -> License:
    """Of a copyright file in the machine-readable form (DEP-5): all licences that it names, together."""
    if not re.match(r"\s*Format(-Specification)?:", copyright):
        return License()
    lines = dict.fromkeys(re.findall(r"^License:[ \t]*(\S[^\n]*?)[ \t]*$", copyright, re.MULTILINE))
    refs: dict[str, str] = {}
    parts = list[str]()
    for line in lines:
        if len(line) < LONG and (part := _debian(line, refs)):
            parts.append(part)
    unique = sorted(set(parts))
    text = " AND ".join(f"({part})" if " OR " in part else part for part in unique)
    return License(text, refs) if text else License()


def _debian(line: str, refs: dict[str, str]) -> str:
    """GPL-2+ or Artistic -> GPL-2.0-or-later OR LicenseRef-debian-Artistic.

    `or` binds looser than `and`, but for an `and` after a comma, which takes all before it (DEP-5).
    """
    outer = [part for part in re.split(r",\s+and\s+", line) if part.strip(" ,")]
    made = [_either(part, refs) for part in outer]
    if len(made) == 1:
        return made[0]
    return " AND ".join(f"({part})" if " OR " in part else part for part in dict.fromkeys(made))


def _either(text: str, refs: dict[str, str]) -> str:
    groups = []
    for alternative in re.split(r",?\s+or\s+", text):
        names = [name.strip(" ,") for name in re.split(r"\s+and\s+|,\s*", alternative) if name.strip(" ,")]
        groups.append(" AND ".join(dict.fromkeys(_one(name, refs) for name in names)))
    unique = list(dict.fromkeys(filter(None, groups)))
    if len(unique) == 1:
        return unique[0]
    return " OR ".join(f"({group})" if " AND " in group else group for group in unique)


def _one(name: str, refs: dict[str, str]) -> str:
    known = _gnu(name) or _WORDS.get(_plain(name), "")
    if not known and not name.startswith("LicenseRef"):
        known = _expression(name)
    if known:
        return known
    made = _named("debian", name)
    refs.update(made.refs)
    return made.expression


def _expression(text: str) -> str:
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return ""


def _gnu(text: str) -> str:
    """Of Debian, where GPL-3 is version 3 and no other; elsewhere nobody knows."""
    gnu = _GNU.fullmatch(text.strip())
    if not gnu:
        return ""
    version = gnu["version"] if "." in gnu["version"] else f"{gnu['version']}.0"
    return _expression(f"{gnu['name'].upper()}-{version}-{'or-later' if gnu['later'] else 'only'}")


def _plain(text: str) -> str:
    words = re.sub(r"[^a-z0-9.]+", " ", text.lower()).split()
    return " ".join(word for word in words if word not in _EMPTY)


def _named(whose: str, words: str) -> License:
    """Other words have another name: what an idstring cannot have is in a few digits at its end."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-.")[:LONG] or "unnamed"
    if slug != words.replace(" ", "-"):
        slug += f"-{hashlib.sha256(words.encode()).hexdigest()[:6]}"
    ref = f"LicenseRef-{whose}-{slug}"
    return License(ref, {ref: words})


def _with_words(expression: str, words: str) -> License:
    return License(expression, dict.fromkeys(re.findall(r"LicenseRef-[A-Za-z0-9.-]+", expression), words))
