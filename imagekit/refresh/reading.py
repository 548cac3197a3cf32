"""Rows of the facts as indexes have them: what the names of files and METADATA say, None for all that they do not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from packaging.version import Version

from imagekit import index
from imagekit.compat.facts import Facts
from imagekit.compat.rows import FROM_INDEX, Release, Variant
from imagekit.errors import ImpossibleWish, Surroundings
from imagekit.index_page import Listed
from imagekit.index_session import session
from imagekit.lock import uv
from imagekit.refresh import listing, metadata
from imagekit.refresh.listing import Build
from imagekit.refresh.metadata import Metadata, Unreadable
from imagekit.site import Site

_CUDA = r"cuda-toolkit|nvidia-cuda-runtime(-cu\d+)?"
"""What torch pins to the version of the toolkit that it is built with."""

_PARTNERS = 20
"""How many versions of torchvision or torchaudio are opened to find the newest that goes with a new torch."""


@dataclass
class Reader:
    """One reading of the indexes: each page and each wheel's metadata once."""

    site: Site
    facts: Facts
    session: requests.Session = field(default_factory=session)
    builds: int = 0
    """How many builds of torch were listed."""
    _pages: dict[tuple[str, str, str], list[Listed]] = field(default_factory=dict)
    _metadata: dict[str, Metadata] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.site.default_index:
            self.site = replace(self.site, default_index=uv.default_index(self.site))

    def on_pypi(self) -> dict[str, Build]:
        """Version -> the build of it that pip takes. Raises Surroundings."""
        return self._builds("pypi", "")

    def _builds(self, name: str, variant: str) -> dict[str, Build]:
        found = listing.builds(self._page(name, variant, "torch"), variant)
        self.builds += len(found)
        return found

    def on_pytorch(self) -> dict[str, dict[str, Build]]:
        """Variant -> version -> build. Every variant of the facts is asked for, and those that may be there by now.

        Raises Surroundings where the index does not answer for a variant that the facts have in their newest release.
        """
        newest = {variant.name for variant in self.facts.releases[-1].variants}
        known = {variant.name for release in self.facts.releases for variant in release.variants}
        found = {}
        for name in sorted(newest) + sorted(known - newest) + sorted(_maybe(self.facts) - known):
            try:
                found[name] = self._builds("pytorch", name)
            except ImpossibleWish:
                found[name] = {}
            except Surroundings:
                if name in newest:
                    raise
                found[name] = {}  # what lies behind this index may forbid what it does not have (S3 does)
        return {name: found[name] for name in sorted(found, key=lambda name: int(name.removeprefix("cu")))}

    def variant(self, build: Build, pypi: bool) -> Variant | str:
        """The row of a build; in words why there is none. Raises Surroundings."""
        said = self._of(build, pypi)
        toolkit = said.pin(_CUDA)
        cuda = ".".join(toolkit.split(".")[:2]) if toolkit else ""
        where = f"torch {build.version}{f'+{build.local}' if build.local else ' on PyPI'}"
        if not cuda:
            return f"{where}: its metadata name no CUDA"
        name = f"cu{cuda.replace('.', '')}"
        if build.local and build.local != name:
            return f"{where}: its metadata say CUDA {cuda}"
        if not self.facts.toolkit(cuda):
            return f"{where}: the facts have no CUDA {cuda} (drivers, compilers): a row of cuda.yaml comes first"
        return Variant(
            name=name, cuda=cuda, pypi_default=pypi, official=True if pypi else None, cudnn=said.pin(r"nvidia-cudnn.*"),
            nccl=said.pin(r"nvidia-nccl.*"), gpu_architectures=None, ptx=None, cxx11_abi=None, glibc=build.glibc or "",
            sources=(), note="",
        )  # fmt: skip

    def release(self, build: Build, variants: Iterable[Variant]) -> Release | str:
        """The row of a release by its build on PyPI; in words why there is none. Raises Surroundings."""
        partners = {name: self._partner(name, build.version) for name in ("torchvision", "torchaudio")}
        missing = [name for name, version in partners.items() if not version]
        if missing:
            return f"torch {build.version}: there is no {' and no '.join(missing)} that its metadata let go with it yet"
        if not build.glibc:
            return f"torch {build.version}: its wheels do not say which glibc they need"
        return Release(
            version=build.version, released=build.released or None, **self.head(build),
            pythons=build.pythons, glibc=build.glibc, torchvision=partners["torchvision"],
            torchaudio=partners["torchaudio"], numpy_abi=None, cxx_standard=None,
            variants=tuple(
                replace(variant, glibc=variant.glibc or build.glibc)
                for variant in sorted(variants, key=lambda variant: Version(variant.cuda))
            ),
            sources=(), note="",
        )  # fmt: skip

    def head(self, build: Build) -> dict[str, Any]:
        """The fields of a release that METADATA of its build on PyPI have. Raises Surroundings."""
        said = self._of(build, True)
        needs = {name: said.needs(name) for name in ("triton", "setuptools")}
        return {"requires_python": said.requires_python} | {k: str(need) if need else None for k, need in needs.items()}

    def goes(self, name: str, version: str, torch: str) -> bool:
        """Whether the metadata of a version of torchvision or torchaudio let it go with this torch."""
        wheels = self._partners(name)
        needs = self._read("pypi", "", name, wheels[version]).needs("torch") if version in wheels else None
        return version in wheels and (needs is None or needs.specifier.contains(torch))

    def _partner(self, name: str, torch: str) -> str:
        """The version that is pinned to this torch, else the newest whose metadata let it go with it; "" without one.

        torchaudio 2.11.0 asks for no torch, and goes with 2.11 and newer: what is pinned to an older one comes first.
        """
        wheels = self._partners(name)
        going = [v for v in sorted(wheels, key=Version, reverse=True)[:_PARTNERS] if self.goes(name, v, torch)]
        for version in going:
            needs = self._read("pypi", "", name, wheels[version]).needs("torch")
            if needs and any(specifier.operator == "==" for specifier in needs.specifier):
                return version
        return next(iter(going), "")

    def _partners(self, name: str) -> dict[str, Listed]:
        wheels = listing.wheels(self._page("pypi", "", name), name)
        return {wheel.version: wheel.file for wheel in wheels if not wheel.local}

    def _of(self, build: Build, pypi: bool) -> Metadata:
        """What all wheels of a build say. Raises Unreadable where they do not say the same."""
        name = "pypi" if pypi else "pytorch"
        said = [self._read(name, build.local, "torch", wheel) for wheel in build.wheels]
        if len({frozenset(map(str, one.requires)) for one in said}) > 1:
            own = frozenset(map(str, said[0].requires)) ^ frozenset(map(str, said[-1].requires))
            raise Unreadable(f"its wheels do not say the same: {', '.join(sorted(own))}")
        return said[0]

    def _page(self, name: str, variant: str, package: str) -> list[Listed]:
        key = (name, variant, package)
        if key not in self._pages:
            self._pages[key] = index.files(self.site, name, variant, package, self.session)
        return self._pages[key]

    def _read(self, name: str, variant: str, package: str, wheel: Listed) -> Metadata:
        if wheel.url not in self._metadata:
            self._metadata[wheel.url] = metadata.read(self.site, name, variant, package, wheel, self.session)
        return self._metadata[wheel.url]


def beyond(facts: Facts, version: str, site: Site) -> Facts:
    """The facts and, where they have no torch `version` (or none of that minor), a row of it as the indexes have it.

    An index of PyTorch that does not answer is no trouble: the build that pip takes is enough. Raises ImpossibleWish
    where there is no such torch or too little is known of it, Surroundings where the index of pip does not answer.
    """
    if any(row.version == version or row.version.startswith(f"{version}.") for row in facts.releases):
        return facts
    found = _one(Reader(site, facts), version)
    if isinstance(found, str):
        raise ImpossibleWish(f"--allow-unknown: {found}", hint="imagekit compat refresh --dry-run shows what there is")
    variants = tuple(replace(variant, sources=(FROM_INDEX,)) for variant in found.variants)
    rows = (*facts.releases, replace(found, sources=(FROM_INDEX,), variants=variants))
    return replace(facts, releases=tuple(sorted(rows, key=lambda row: Version(row.version))))


def _one(reader: Reader, version: str) -> Release | str:
    on_pypi = reader.on_pypi()
    having = [have for have in on_pypi if have == version or have.startswith(f"{version}.")]
    if not having:
        return f"no index has a torch {version}"
    build = on_pypi[having[-1]]
    made = [reader.variant(build, pypi=True)]
    if isinstance(made[0], str):
        return made[0]
    with contextlib.suppress(Surroundings):
        others = [builds[build.version] for builds in reader.on_pytorch().values() if build.version in builds]
        made += [reader.variant(other, pypi=False) for other in others]
    rows = {row.name: row for row in reversed(made) if isinstance(row, Variant)}  # the one on PyPI replaces its twin
    return reader.release(build, rows.values())


def _maybe(facts: Facts) -> set[str]:
    """Names that builds for toolkits have which no release in the facts has: known toolkits, and what may follow."""
    known = {toolkit.version for toolkit in facts.toolkits}
    majors = {int(version.split(".")[0]) for version in known}
    newest = max((Version(version) for version in known), default=Version("0"))
    after = {f"{newest.major}.{newest.minor + step}" for step in (1, 2, 3)} | {f"{max(majors) + 1}.0"}
    names = {f"cu{version.replace('.', '')}" for version in known | after}
    return {name for name in names if re.fullmatch(r"cu\d{3}", name)}
