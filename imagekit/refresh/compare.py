"""What indexes have that the facts do not, what they say otherwise, and what they no longer have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from imagekit.compat.rows import Release, Variant
from imagekit.errors import Surroundings
from imagekit.refresh.listing import Build
from imagekit.refresh.metadata import Unreadable
from imagekit.refresh.reading import Reader

Kind = Literal["new", "more", "differs", "gone", "left"]


@dataclass(frozen=True)
class Change:
    """One thing that an index says. `new` and `more` go into the facts, the others are for a person to look at."""

    kind: Kind
    where: str
    """The row: torch/2.16.0 or torch/2.16.0/cu130."""
    text: str
    row: Release | Variant | None = None
    """Of what is new."""
    field: str = ""
    """Of the row, for what is more."""
    value: str | tuple[str, ...] = ""


@dataclass(frozen=True)
class _Seen:
    """All builds that the indexes list, and what was not asked is empty."""

    pypi: dict[str, Build]
    pytorch: dict[str, dict[str, Build]]


def changes(reader: Reader, indexes: tuple[str, ...], thorough: bool = False) -> list[Change]:
    """In the order of the releases. `thorough`: also the metadata of builds that the facts have.

    Raises Surroundings where an index does not answer, or answers what cannot be true.
    """
    facts = reader.facts
    seen = _Seen(
        reader.on_pypi() if "pypi" in indexes else {}, reader.on_pytorch() if "pytorch" in indexes else {}
    )  # fmt: skip
    for name, builds in (("pypi", seen.pypi), ("pytorch", any(seen.pytorch.values()))):
        if name in indexes and not builds:
            raise Surroundings(f"the index {name} lists no build of torch", hint="imagekit site shows the indexes")
    oldest = Version(facts.releases[0].version)
    versions = {release.version for release in facts.releases} | set(seen.pypi)
    versions |= {version for builds in seen.pytorch.values() for version in builds}
    found: list[Change] = []
    for version in sorted(versions, key=Version):
        if Version(version) >= oldest:
            known = facts.release(version)
            try:
                found += _of_known(known, seen, reader, thorough) if known else _of_new(version, seen, reader)
            except Unreadable as error:
                found.append(Change("left", f"torch/{version}", error.message))
    return found


def _of_new(version: str, seen: _Seen, reader: Reader) -> Iterator[Change]:
    where = f"torch/{version}"
    on_pypi = seen.pypi.get(version)
    if on_pypi is None:
        at = ", ".join(name for name, builds in seen.pytorch.items() if version in builds)
        yield Change("left", where, f"only on the index pytorch ({at}): which build pip takes is not known")
        return
    rows: dict[str, Variant] = {}
    for build, pypi in [*((b[version], False) for b in seen.pytorch.values() if version in b), (on_pypi, True)]:
        row = reader.variant(build, pypi)
        if isinstance(row, str):
            yield Change("left", where, row)
        else:
            rows[row.name] = row
    if not any(row.pypi_default for row in rows.values()):
        return
    release = reader.release(on_pypi, rows.values())
    if isinstance(release, str):
        yield Change("left", where, release)
        return
    names = ", ".join(v.name + (" (PyPI)" if v.pypi_default else "") for v in release.variants)
    text = f"{names}; Python {release.pythons[0]} - {release.pythons[-1]}; torchvision {release.torchvision}"
    yield Change("new", where, text, row=release)


def _of_known(known: Release, seen: _Seen, reader: Reader, thorough: bool) -> Iterator[Change]:
    where = f"torch/{known.version}"
    on_pypi = seen.pypi.get(known.version)
    if on_pypi:
        yield from _pythons(known, on_pypi, where)
        if thorough:
            yield from _same_release(known, on_pypi, reader, where)
            yield from _same_variant(known.pypi_variant, reader.variant(on_pypi, True), where)
    elif seen.pypi:
        yield Change("gone", where, "the index pypi has no wheel of it, or it is yanked")
    for name, builds in seen.pytorch.items():
        row, build = known.variant(name), builds.get(known.version)
        if row is None and build:
            made = reader.variant(build, False)
            if isinstance(made, str):
                yield Change("left", where, made)
            else:
                added = replace(made, glibc=made.glibc or known.glibc)
                yield Change("new", f"{where}/{name}", f"a build for CUDA {made.cuda}", row=added)
        elif row and build is None:
            yield Change("gone", f"{where}/{name}", "the index pytorch has no wheel of it, or it is yanked")
        elif row and build and thorough and not row.pypi_default:
            yield from _same_variant(row, reader.variant(build, False), where)


def _pythons(known: Release, build: Build, where: str) -> Iterator[Change]:
    more = tuple(python for python in build.pythons if python not in known.pythons)
    less = tuple(python for python in known.pythons if python not in build.pythons)
    if more:
        both = tuple(sorted({*known.pythons, *more}, key=Version))
        yield Change("more", where, f"wheels for Python {', '.join(more)}", field="pythons", value=both)
    if less:
        yield Change("gone", where, f"no wheels for Python {', '.join(less)}")


def _same_release(known: Release, build: Build, reader: Reader, where: str) -> Iterator[Change]:
    for name, said in (reader.head(build) | {"released": build.released or None}).items():
        yield from _same(where, name, getattr(known, name), said)
    for name in ("torchvision", "torchaudio"):
        if not reader.goes(name, getattr(known, name), known.version):
            yield Change("differs", where, f"{name} {getattr(known, name)} of the facts does not go with it")
    if Version(known.glibc) < Version(build.glibc or "0"):  # a tag is the least that is needed; the facts may know more
        yield from _same(where, "glibc", known.glibc, build.glibc)


def _same_variant(known: Variant, read: Variant | str, where: str) -> Iterator[Change]:
    if isinstance(read, str):
        yield Change("left", where, read)
        return
    for name in ("name", "cudnn", "nccl"):
        yield from _same(f"{where}/{known.name}", name, getattr(known, name), getattr(read, name))


def _same(where: str, field: str, known: str | None, read: str | None) -> Iterator[Change]:
    if known is None and read is not None:
        yield Change("more", where, f"{field} {read}", field=field, value=read)
    elif known is not None and read is not None and _key(field, known) != _key(field, read):
        yield Change("differs", where, f"{field}: {known!r} in the facts, {read!r} on the index")


def _key(field: str, value: str) -> object:
    """Spellings of one requirement or range are one."""
    if field == "requires_python":
        return SpecifierSet(value)
    return str(Requirement(value)) if field in ("triton", "setuptools") else value
