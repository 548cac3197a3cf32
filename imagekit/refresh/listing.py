"""Which releases of torch an index has: out of the names of its files (PEP 427), nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from imagekit.index_page import Listed

_GLIBC = {"manylinux2014": "2.17", "manylinux2010": "2.12", "manylinux1": "2.5"}
"""PEP 599, PEP 571, PEP 513."""


@dataclass(frozen=True)
class Wheel:
    """A final release for Linux on x86_64, with the local part that `index` gives its builds."""

    version: str
    """Public: "2.9.1"."""
    local: str
    """ "cu128", or "" on an index with one build of each release."""
    python: str
    """ "3.12"; "" where it is for all."""
    glibc: str | None
    """None where its tag (linux_x86_64) does not say it."""
    file: Listed


@dataclass(frozen=True)
class Build:
    """One release on one index: its wheels are alike but for the Python."""

    version: str
    local: str
    pythons: tuple[str, ...]
    """Ascending."""
    glibc: str | None
    released: str
    """Day of the first upload; "" where the index does not say it."""
    wheels: tuple[Listed, ...]
    """Those of the oldest and the newest Python, to read the metadata of."""


def wheels(files: Iterable[Listed], package: str) -> Iterator[Wheel]:
    """Those of releases (2.9.1) for Linux on x86_64: not yanked, not free-threaded. One for each Python of a file."""
    for file in files:
        try:
            name, version, _, tags = parse_wheel_filename(file.name)
        except ValueError:  # no name of a wheel, or a number in it that is longer than a number may be
            continue
        fitting = [tag for tag in tags if _fits(tag)]
        final = re.fullmatch(r"\d{1,3}\.\d{1,3}\.\d{1,3}", version.public)
        if name != canonicalize_name(package) or not fitting or file.yanked or not final:
            continue
        glibc = min(filter(None, map(_glibc, fitting)), key=Version, default=None)
        for python in sorted({_python(tag) for tag in fitting}):
            yield Wheel(version.public, version.local or "", python, glibc, file)


def builds(files: Iterable[Listed], variant: str) -> dict[str, Build]:
    """Version -> the build of torch on an index: on that of a `variant` ("cu128") only what says that it is one."""
    of: dict[str, list[Wheel]] = {}
    for wheel in wheels(files, "torch"):
        if wheel.local == variant and wheel.python:
            of.setdefault(wheel.version, []).append(wheel)
    return {version: _build(of[version]) for version in sorted(of, key=Version)}


def _build(alike: list[Wheel]) -> Build:
    by_python = sorted(alike, key=lambda wheel: Version(wheel.python))
    known = [wheel.glibc for wheel in alike if wheel.glibc]
    return Build(
        version=alike[0].version,
        local=alike[0].local,
        pythons=tuple(sorted({wheel.python for wheel in alike}, key=Version)),
        glibc=max(known, key=Version) if known else None,
        released=min(filter(None, (wheel.file.uploaded for wheel in alike)), default=""),
        wheels=(by_python[0].file, by_python[-1].file)[: len(by_python)],
    )


def _fits(tag: Tag) -> bool:
    system = tag.platform == "any" or (tag.platform.endswith("_x86_64") and "linux" in tag.platform)
    return system and not tag.abi.endswith("t") and "musl" not in tag.platform


def _python(tag: Tag) -> str:
    found = re.fullmatch(r"cp3(\d{1,2})", tag.interpreter)
    return f"3.{found[1]}" if found else ""


def _glibc(tag: Tag) -> str | None:
    exact = re.fullmatch(r"manylinux_(\d)_(\d{1,2})_x86_64", tag.platform)
    return f"{exact[1]}.{exact[2]}" if exact else _GLIBC.get(tag.platform.partition("_")[0])
