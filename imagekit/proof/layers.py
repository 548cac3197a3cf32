"""Every layer of an image, looked through from outside: what a later layer removes or replaces, whoever pulls the image
still gets. From inside only the last word on a path is seen.

The layers are read from the top down, so that at each file it is known whether something above hides it. What is found
is told without the secret itself.
"""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from imagekit.proof import outside
from imagekit.report import Check
from imagekit.smoke.checks import leftovers

Opened = Callable[[], tarfile.TarFile]
"""A layer, opened when it is read."""

SEARCHED = 256 * 1024
"""Bytes up to which a file is read: keys, logins and settings are small."""

PACKAGED = re.compile(r"(?:usr/(?!local/)|lib\w*/|s?bin/|var/lib/dpkg/|opt/venv/lib/|opt/conda/)")
"""Where packages put their files. Examples and tests of theirs have keys and passwords for everybody to see; what
changed there afterwards, `installed-files` tells. There only what a later layer hides is searched."""

SETTINGS = re.compile(r".*(?:\.(?:env|ini|cfg|conf|properties)|/\.env[^/]*|/\.\w+rc|etc/environment)")
"""Files in which `TOKEN=...` is a token, and no line of a program."""

CERTIFICATES, OWN = "usr/share/ca-certificates/", "usr/local/share/ca-certificates/"
BUNDLE = re.compile(r"etc/ssl/certs/ca-certificates\.crt|.*/certifi/cacert\.pem")

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
"""How a layer says that a file of a lower one is gone, and that all of a folder is (OCI image specification, layer)."""


@dataclass
class Above:
    """What the layers above say of a path."""

    there: set[str] = field(default_factory=set)
    """Paths that are no folders, and those that are gone."""
    emptied: set[str] = field(default_factory=set)
    """Folders of which nothing below is seen."""

    def hides(self, path: str) -> bool:
        folders = [path[:end] for end, letter in enumerate(path) if letter == "/"]
        return path in self.there or any(folder in self.there or folder in self.emptied for folder in folders)

    def add(self, member: tarfile.TarInfo, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            self.emptied.add(folder)
        elif name.startswith(WHITEOUT):
            self.there.add(f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/"))
        elif not member.isdir():
            self.there.add(path)


@dataclass
class Seen:
    found: list[tuple[int, str]] = field(default_factory=list)
    """(number of the layer, text)."""
    files: int = 0
    hidden: int = 0
    """Bytes of files that a later layer hides: everybody pulls them, nobody sees them."""
    roots: set[str] = field(default_factory=set)
    """Certificates of the distribution, in whichever layer, and those that an overlay names."""
    bundles: list[tuple[int, str, set[str]]] = field(default_factory=list)


def checks(image: Mapping[str, Any], layers: Sequence[Opened]) -> Iterator[Check]:
    """`image`: docker inspect; `layers`: the lowest first."""
    started = time.monotonic()
    seen = look(layers, _trusted(image))
    rows = [f"layer {number}: {text}" for number, text in sorted(seen.found)]
    seconds = round(time.monotonic() - started, 2)
    figures = (("layers", len(layers)), ("files", seen.files), ("hidden_mb", round(seen.hidden / 1e6, 1)))
    if not rows:
        yield Check(outside.LAYERS, "deep", "PASS", seconds, figures=figures)
        return
    yield Check(
        outside.LAYERS, "deep", "FAIL", seconds, figures=figures,
        found="; ".join(rows[:6]) + (f" and {len(rows) - 6} more" if len(rows) > 6 else ""),
        expected="no secret, no certificate authority and nothing of the build's own in any layer",
        because="whoever can pull the image can read each of its layers; a later one does not take a file away",
        fix="RUN --mount=type=secret and --mount=type=cache; build again, and have a secret replaced: it is known now",
    )  # fmt: skip


def look(layers: Sequence[Opened], trusted: frozenset[str] = frozenset()) -> Seen:
    seen, above = Seen(), Above()
    for number in range(len(layers), 0, -1):
        mine = []
        with layers[number - 1]() as archive:
            for member in archive:
                path = member.name.removeprefix("./").strip("/")
                mine.append((member, path))
                if member.isfile() and not path.rpartition("/")[2].startswith(WHITEOUT):
                    _file(archive, member, path, number, above.hides(path), seen, trusted)
        for member, path in mine:  # a layer hides nothing of its own
            above.add(member, path)
    for number, path, blocks in seen.bundles:
        if unknown := len(blocks - seen.roots):
            seen.found.append((number, f"{unknown} unknown certificate authorities in /{path}"))
    return seen


def _file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, number: int, hidden: bool, seen: Seen,
    trusted: frozenset[str],
) -> None:  # fmt: skip
    seen.files += 1
    seen.hidden += member.size * hidden
    tail = ", which a later layer hides" if hidden else ""
    if member.size and leftover(path):
        seen.found.append((number, f"/{path}{tail}"))
    own = path.startswith(OWN) and path.endswith(".crt")
    if own and path.rpartition("/")[2] not in trusted:
        seen.found.append((number, f"the certificate authority /{path}{tail}"))
    if own or path.startswith(CERTIFICATES) or BUNDLE.fullmatch(path):
        text = _text(archive, member)
        blocks = {"".join(block.split()) for block in leftovers.PEM.findall(text)}
        if not BUNDLE.fullmatch(path):
            seen.roots |= blocks
        elif path.startswith("etc/"):
            seen.bundles.append((number, path, blocks))
        elif hidden:  # the one that is seen is compared with its wheel
            seen.found.append((number, f"another /{path}{tail}"))
    elif member.size <= SEARCHED and (hidden or not PACKAGED.match(path)):
        text = _text(archive, member)
        kinds = [] if "\0" in text[:4096] else sorted({*outside.secrets_in(text, code=not SETTINGS.fullmatch(path))})
        seen.found += [(number, f"{kind} in /{path}{tail}") for kind in kinds]


def leftover(path: str) -> bool:
    """Whether a file of this name is one that only the build needs."""
    for folder, pattern in leftovers.GONE:
        place = folder.lstrip("/")
        if path == place if not pattern else fnmatchcase(path, f"{place}/{pattern}"):
            return leftovers.KUBERNETES not in path
    parts = path.split("/")
    home = 1 if parts[0] == "root" else 2 if parts[0] == "home" else len(parts)
    rest = "/".join(parts[home:])
    return any(rest == name or rest.startswith(f"{name}/") for name in leftovers.IN_HOME)


def _trusted(image: Mapping[str, Any]) -> frozenset[str]:
    """Names of the roots that an overlay put there by name (label io.imagekit.trust: `NAME=sha256:... NAME=...`)."""
    labels = (image.get("Config") or {}).get("Labels") or {}
    return frozenset(entry.partition("=")[0] for entry in str(labels.get("io.imagekit.trust", "")).split())


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    return file.read().decode("utf-8", errors="replace") if file else ""
