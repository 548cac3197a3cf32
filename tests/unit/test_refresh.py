"""What package indexes have that the facts do not: what is read, what is compared, and what is written of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import standins
from torch_indexes import (
    BOTH,
    FACTS,
    TEXT,
    found,
    mirror,
    read_back,
    row_of,
    text_without,
    wheels,
    without,
)

from imagekit import refresh
from imagekit.compat.rows import Release
from imagekit.errors import Surroundings
from imagekit.refresh import data_file
from imagekit.refresh.compare import Change


def test_indexes_that_say_what_the_facts_say_change_nothing(tmp_path: Path) -> None:
    the_site = mirror(tmp_path, FACTS.releases)
    assert found(FACTS, the_site, thorough=True) == []
    assert data_file.updated(TEXT, [], "2026-11-21", BOTH) == TEXT


@pytest.mark.parametrize("version", ["2.15.0", "2.9.1", "2.4.0"])
def test_a_release_that_the_facts_lack_comes_back(tmp_path: Path, version: str) -> None:
    row = row_of(version)
    the_site = mirror(tmp_path, FACTS.releases)
    changes = found(without(version), the_site)
    assert [(change.kind, change.where) for change in changes] == [("new", f"torch/{version}")]
    before = text_without(version)
    again = read_back(tmp_path, data_file.updated(before, changes, "2026-11-21", BOTH))
    assert [release.version for release in again.releases] == [release.version for release in FACTS.releases]
    new = again.release(version)
    assert new
    assert (new.pythons, new.glibc, new.torchaudio) == (row.pythons, row.glibc, row.torchaudio)
    assert (new.requires_python, new.triton, new.setuptools) == (row.requires_python, row.triton, row.setuptools)
    assert [(v.name, v.cuda, v.pypi_default, v.cudnn, v.nccl, v.glibc) for v in new.variants] == [
        (v.name, v.cuda, v.pypi_default, v.cudnn, v.nccl, v.glibc) for v in row.variants
    ]
    # what no index says is not known, and never made up
    assert new.released is None
    assert new.numpy_abi is None
    assert {v.gpu_architectures for v in new.variants} == {None}
    assert new.sources == ("refresh-2026-11-21",)
    assert "the indexes pypi and pytorch" in again.sources["torch"]["refresh-2026-11-21"]


def test_nothing_that_was_written_before_is_touched(tmp_path: Path) -> None:
    changes = found(without("2.9.1"), mirror(tmp_path, FACTS.releases))
    before = text_without("2.9.1")
    after = data_file.updated(before, changes, "2026-11-21", BOTH)
    refreshed = refresh.report.Refreshed(tuple(changes), before, after, 0)
    assert not [line for line in refreshed.diff if line.startswith("-") and not line.startswith("---")]
    assert after.index("version: 2.9.0\n") < after.index("version: 2.9.1\n") < after.index("version: 2.10.0\n")
    assert "\n\n\n" not in after


def test_new_builds_of_a_known_release_stand_in_their_places(tmp_path: Path) -> None:
    """One before the others and one at the end, of one release: their order is that of CUDA."""
    row = row_of("2.9.1")
    known = dataclasses.replace(row, variants=(*[v for v in row.variants if v.name in ("cu128", "cu129")],))
    changes = found(
        dataclasses.replace(FACTS, releases=tuple(known if r is row else r for r in FACTS.releases)),
        mirror(tmp_path, FACTS.releases),
    )
    assert [change.where for change in changes] == ["torch/2.9.1/cu126", "torch/2.9.1/cu130"]
    block = TEXT[TEXT.index("  - version: 2.9.1\n") : TEXT.index("  - version: 2.10.0\n")]
    fewer = re.sub(r"      - name: cu126\n(        .*\n)+", "", block)
    fewer = re.sub(r"      - name: cu130\n(        .*\n)+", "", fewer)
    after = data_file.updated(TEXT.replace(block, fewer), changes, "2026-11-21", BOTH)
    again = read_back(tmp_path, after).release("2.9.1")
    assert again
    assert [variant.name for variant in again.variants] == [variant.name for variant in row.variants]
    cu130 = again.variant("cu130")
    assert cu130
    assert cu130.official is None
    assert cu130.sources == ("refresh-2026-11-21",)


def test_a_new_python_and_a_field_that_was_not_known(tmp_path: Path) -> None:
    row = row_of("2.14.1")
    less = dataclasses.replace(
        row, pythons=row.pythons[:-1], triton=None,
        variants=tuple(dataclasses.replace(v, cudnn=None) if v.pypi_default else v for v in row.variants),
    )  # fmt: skip
    known = dataclasses.replace(FACTS, releases=tuple(less if r is row else r for r in FACTS.releases))
    changes = found(known, mirror(tmp_path, FACTS.releases), thorough=True)
    assert [(change.kind, change.field) for change in changes] == [
        ("more", "pythons"), ("more", "triton"), ("more", "cudnn"),
    ]  # fmt: skip
    block = TEXT[TEXT.index("  - version: 2.14.1\n") : TEXT.index("  - version: 2.15.0\n")]
    fewer = block.replace(f", '{row.pythons[-1]}']", "]", 1)
    fewer = re.sub(r"    triton: .*\n", "", fewer)
    fewer = re.sub(
        rf"(pypi_default: true\n        official: true\n)        cudnn: {row.pypi_variant.cudnn}\n", r"\1", fewer
    )
    assert fewer.count("\n") == block.count("\n") - 2
    again = read_back(tmp_path, data_file.updated(TEXT.replace(block, fewer), changes, "2026-11-21", BOTH))
    new = again.release("2.14.1")
    assert new
    assert (new.pythons, new.triton, new.pypi_variant.cudnn) == (row.pythons, row.triton, row.pypi_variant.cudnn)
    assert new.sources == (*row.sources, "refresh-2026-11-21"), "cited once for two fields"


def test_what_an_index_contradicts_is_told_and_not_changed(tmp_path: Path) -> None:
    row = row_of("2.14.1")
    other = dataclasses.replace(
        row, requires_python=">=3.11", glibc="2.17",
        variants=tuple(dataclasses.replace(v, nccl="2.99.0") if v.pypi_default else v for v in row.variants),
    )  # fmt: skip
    known = dataclasses.replace(FACTS, releases=tuple(other if r is row else r for r in FACTS.releases))
    changes = found(known, mirror(tmp_path, FACTS.releases), thorough=True)
    said = {change.text.split(":")[0]: change.kind for change in changes}
    assert said == {"requires_python": "differs", "glibc": "differs", "nccl": "differs"}
    assert data_file.updated(TEXT, changes, "2026-11-21", BOTH) == TEXT


def test_a_partner_that_does_not_go_with_it_is_told(tmp_path: Path) -> None:
    row = row_of("2.14.1")
    other = dataclasses.replace(row, torchvision="0.99.0")
    known = dataclasses.replace(FACTS, releases=tuple(other if r is row else r for r in FACTS.releases))
    (change,) = found(known, mirror(tmp_path, FACTS.releases), thorough=True)
    assert (change.kind, change.text) == ("differs", "torchvision 0.99.0 of the facts does not go with it")


def test_what_an_index_no_longer_has_is_told(tmp_path: Path) -> None:
    rows = [row for row in FACTS.releases if row.version != "2.9.0"]
    the_site = mirror(tmp_path, rows)
    page = tmp_path / "pypi/simple/torch/index.html"
    page.write_text(re.sub(r'<a (href="torch-2\.8\.0-[^"]*")', r'<a data-yanked="broken" \1', page.read_text()))
    changes = found(FACTS, the_site)
    assert {change.kind for change in changes} == {"gone"}
    assert {change.where for change in changes if change.where.count("/") == 1} == {"torch/2.8.0", "torch/2.9.0"}
    assert "torch/2.9.0/cu128" in {change.where for change in changes}
    assert data_file.updated(TEXT, changes, "2026-11-21", BOTH) == TEXT


NEXT = dataclasses.replace(
    FACTS.releases[-1], version="2.16.0", torchvision="0.31.0", torchaudio="2.11.0",
    pythons=("3.11", "3.12", "3.13", "3.14", "3.15"),
)  # fmt: skip


def test_a_release_without_a_torchvision_waits(tmp_path: Path) -> None:
    the_site = mirror(tmp_path, FACTS.releases, wheels(NEXT, NEXT.pypi_variant, local=False))
    for row in tmp_path.glob("pypi/simple/torchvision/*.html"):
        row.write_text("".join(line for line in row.read_text().splitlines(True) if "0.29.2" not in line))
    (change,) = found(FACTS, the_site, indexes=("pypi",))
    assert change.kind == "new", "an older torchvision without an upper bound goes with it"
    standins.index(tmp_path / "pypi", [standins.Wheel("torchvision", "0.30.0", ("torch==2.14.0",))])
    (change,) = found(FACTS, the_site, indexes=("pypi",))
    assert (change.kind, change.text) == (
        "left", "torch 2.16.0: there is no torchvision that its metadata let go with it yet",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("requires", "text"),
    [
        ((), "torch 2.16.0 on PyPI: its metadata name no CUDA"),
        (("cuda-toolkit[cudart]==14.9.1",), "torch 2.16.0 on PyPI: the facts have no CUDA 14.9"),
        (("cuda-toolkit[cudart]>=13.0",), "torch 2.16.0 on PyPI: its metadata name no CUDA"),
    ],
)
def test_a_release_of_which_too_little_is_known_waits(tmp_path: Path, requires: tuple[str, ...], text: str) -> None:
    wheel = standins.Wheel("torch", "2.16.0", requires, tag="cp313-cp313-manylinux_2_28_x86_64")
    (change,) = found(FACTS, mirror(tmp_path, FACTS.releases, [wheel]))
    assert change.kind == "left"
    assert change.text.startswith(text)


def test_wheels_of_one_build_that_do_not_say_the_same(tmp_path: Path) -> None:
    alike = list(wheels(NEXT, NEXT.pypi_variant, local=False))
    alike[-1] = dataclasses.replace(alike[-1], requires=(*alike[-1].requires, "audioop-lts"))
    (change,) = found(FACTS, mirror(tmp_path, FACTS.releases, alike))
    assert (change.kind, change.text) == ("left", "its wheels do not say the same: audioop-lts")


def test_other_files_of_a_page_are_not_builds(tmp_path: Path) -> None:
    names = [
        "torch-2.16.0-cp313-cp313-win_amd64.whl", "torch-2.16.0-cp313-cp313t-manylinux_2_28_x86_64.whl",
        "torch-2.16.0-cp313-cp313-manylinux_2_28_aarch64.whl", "torch-2.16.0rc1-cp313-cp313-manylinux_2_28_x86_64.whl",
        "torch-2.16.0.tar.gz", "torch-2.16.0-cp313-none-macosx_11_0_arm64.whl", "torch-nonsense.whl",
        "torch-2.16.0+cpu-cp313-cp313-manylinux_2_28_x86_64.whl",
        "torch-2.16.0.dev20261120+cu132-cp313-cp313-manylinux_2_28_x86_64.whl",
    ]  # fmt: skip
    the_site = mirror(tmp_path, FACTS.releases)
    with (tmp_path / "pypi/simple/torch/index.html").open("a") as page:
        page.writelines(f'<a href="{name}">{name}</a>\n' for name in names)
    assert found(FACTS, the_site) == []


def test_a_build_whose_metadata_is_another_ones_is_no_build(tmp_path: Path) -> None:
    (wheel, *_) = wheels(NEXT, NEXT.pypi_variant, local=False)
    the_site = mirror(tmp_path, FACTS.releases, [wheel])
    lie = dataclasses.replace(wheel, version="2.15.9")
    (tmp_path / "pypi/simple/torch" / wheel.file).write_bytes(lie.content())
    (change,) = found(FACTS, the_site)
    assert change.kind == "left"
    assert "says that it is torch 2.15.9" in change.text


@pytest.mark.parametrize("version", ["2.16", "2.15.0.0", "1!2.16.0", "2.15.0.post1", "9" * 4400 + ".0.0"])
def test_versions_that_no_release_has_are_not_read(tmp_path: Path, version: str) -> None:
    the_site = mirror(tmp_path, FACTS.releases)
    name = f"torch-{version}-cp313-cp313-manylinux_2_28_x86_64.whl"
    with (tmp_path / "pypi/simple/torch/index.html").open("a") as page:
        page.write(f'<a href="{name}">{name}</a>\n')
    assert found(FACTS, the_site) == []


def test_a_wheel_for_several_pythons_is_for_all_of_them(tmp_path: Path) -> None:
    (wheel, *_) = wheels(NEXT, NEXT.pypi_variant, local=False)
    both = dataclasses.replace(wheel, tag="cp311.cp312.cp313-none-manylinux_2_28_x86_64")
    (change,) = found(FACTS, mirror(tmp_path, FACTS.releases, [both]))
    assert isinstance(change.row, Release)
    assert change.row.pythons == ("3.11", "3.12", "3.13")


def test_what_other_systems_and_pythons_need_is_no_fact(tmp_path: Path) -> None:
    (wheel, *_) = wheels(NEXT, NEXT.pypi_variant, local=False)
    requires = [line for line in wheel.requires if not line.startswith(("triton", "nvidia-cudnn"))]
    requires += ['triton==1.0; sys_platform == "darwin"', 'triton==3.9.0; sys_platform == "linux"']
    requires += ['nvidia-cudnn-cu13==9.1; python_version < "3.12"', 'nvidia-cudnn-cu13==9.9; python_version >= "3.12"']
    changed = dataclasses.replace(wheel, requires=tuple(requires))
    (change,) = found(FACTS, mirror(tmp_path, FACTS.releases, [changed]))
    assert isinstance(change.row, Release)
    assert change.row.triton == 'triton==3.9.0; sys_platform == "linux"'
    assert change.row.pypi_variant.cudnn is None, "two for two Pythons"


@pytest.mark.parametrize("line", ["triton @ https://bob:s3cret@intern.example/t.whl", "x @ file:///etc/passwd"])
def test_addresses_in_metadata_are_not_taken(tmp_path: Path, line: str) -> None:
    (wheel, *_) = wheels(NEXT, NEXT.pypi_variant, local=False)
    changed = dataclasses.replace(wheel, requires=(*wheel.requires, line))
    (change,) = found(FACTS, mirror(tmp_path, FACTS.releases, [changed]))
    assert change.kind == "left"
    assert "s3cret" not in change.text


def test_nothing_of_a_stranger_moves_the_terminal() -> None:
    (line,) = refresh.report.lines([Change("left", "torch/9", "tor\x1b[31mch\x07 https://bob:s3cret@h/x")])
    assert line.isprintable()
    assert "s3cret" not in line


def test_an_index_without_torch_is_not_up_to_date(tmp_path: Path) -> None:
    the_site = mirror(tmp_path, FACTS.releases)
    (tmp_path / "pypi/simple/torch/index.html").write_text("<html></html>")
    with pytest.raises(Surroundings, match="the index pypi lists no build of torch"):
        found(FACTS, the_site)
