"""Package indexes of stand-in wheels that say of torch what the facts say, and more."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import standins
from packaging.version import Version

from imagekit import site as sites
from imagekit.compat import facts, facts_load
from imagekit.compat.rows import Release, Variant
from imagekit.refresh import compare, data_file, reading
from imagekit.refresh.compare import Change
from imagekit.site import Site

FACTS = facts.load()
TEXT = (facts.DATA / data_file.FILE).read_text(encoding="utf-8")
BOTH = ("pypi", "pytorch")


def wheels(release: Release, variant: Variant, local: bool) -> Iterator[standins.Wheel]:
    """What the facts say of a build, as wheels. All Pythons where a release is, two on the index of a variant."""
    major = variant.cuda.split(".")[0]
    requires = [f"nvidia-cuda-runtime-cu{major}=={variant.cuda}.99", 'numpy; extra == "all"']
    requires += [f"nvidia-cudnn-cu{major}=={variant.cudnn}"] if variant.cudnn else []
    requires += [f"nvidia-nccl-cu{major}=={variant.nccl}"] if variant.nccl else []
    requires += [line for line in (release.triton, release.setuptools) if line]
    version = f"{release.version}+{variant.name}" if local else release.version
    for python in {release.pythons[0], release.pythons[-1]} if local else release.pythons:
        abi = f"cp{python.replace('.', '')}"
        tag = f"{abi}-{abi}-manylinux_{variant.glibc.replace('.', '_')}_x86_64"
        yield standins.Wheel("torch", version, tuple(requires), tag=tag, requires_python=release.requires_python)


def partners(releases: Iterable[Release]) -> Iterator[standins.Wheel]:
    """As they are: pinned to their torch, until torchvision 0.29 and torchaudio 2.11."""
    for release in releases:
        for name, version, free in (
            ("torchvision", release.torchvision, "0.29"),
            ("torchaudio", release.torchaudio, "2.11"),
        ):
            loose = ("torch>=2.14.0",) if name == "torchvision" else ()
            pinned = (f"torch=={release.version}",)
            yield standins.Wheel(name, version, loose if Version(version) >= Version(free) else pinned)


def site(folder: Path, on_pypi: Iterable[standins.Wheel], on_pytorch: Iterable[standins.Wheel] = ()) -> Site:
    standins.index(folder / "pypi", on_pypi)
    for wheel in on_pytorch:
        name = wheel.version.partition("+")[2]
        place = folder / "pytorch" / name / "torch"
        place.mkdir(parents=True, exist_ok=True)
        (place / wheel.file).write_bytes(wheel.content())
        with (place / "index.html").open("a") as page:
            page.write(f'<a href="{wheel.file.replace("+", "%2B")}#sha256=0">{wheel.file}</a>\n')
    file = folder / "imagekit.toml"
    pypi, pytorch = (folder / "pypi" / "simple").as_uri(), f"{(folder / 'pytorch').as_uri()}/{{variant}}"
    file.write_text(f'[indexes.pypi]\nurl = "{pypi}"\n[indexes.pytorch]\nurl = "{pytorch}"\n')
    return sites.load(file, {})


def mirror(folder: Path, releases: Iterable[Release], more: Iterable[standins.Wheel] = ()) -> Site:
    """Indexes that have these releases, all of their builds, and what goes with them."""
    rows = list(releases)
    on_pypi = [wheel for row in rows for wheel in wheels(row, row.pypi_variant, local=False)]
    on_pytorch = [wheel for row in rows for variant in row.variants for wheel in wheels(row, variant, local=True)]
    extra = list(more)
    return site(
        folder,
        {wheel.file: wheel for wheel in [*on_pypi, *partners(rows), *(w for w in extra if "+" not in w.version)]}.values(),
        [*on_pytorch, *(w for w in extra if "+" in w.version)],
    )  # fmt: skip


def without(version: str) -> facts.Facts:
    return dataclasses.replace(FACTS, releases=tuple(row for row in FACTS.releases if row.version != version))


def row_of(version: str) -> Release:
    found = FACTS.release(version)
    assert found
    return found


def found(known: facts.Facts, the_site: Site, thorough: bool = False, indexes: tuple[str, ...] = BOTH) -> list[Change]:
    return compare.changes(reading.Reader(the_site, known), indexes, thorough)


def read_back(tmp_path: Path, text: str) -> facts.Facts:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for path in facts.DATA.glob("*.yaml"):
        shutil.copy(path, folder)
    (folder / data_file.FILE).write_text(text, encoding="utf-8")
    return facts_load.read(folder)


def text_without(version: str) -> str:
    """torch.yaml as it was before a release."""
    head, _, rest = TEXT.partition(f"  - version: {version}\n")
    _, mark, tail = rest.partition("\n  - version: ")
    return head + mark.removeprefix("\n") + tail if mark else head.rstrip("\n") + "\n"
