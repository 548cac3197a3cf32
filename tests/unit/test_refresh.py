"""What package indexes have that the facts do not: indexes of stand-in wheels that say what the facts say, and more."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import standins
from packaging.version import Version

from imagekit import cli, refresh
from imagekit import site as sites
from imagekit.compat import facts, facts_load
from imagekit.compat.rows import FROM_INDEX, Release, Variant
from imagekit.errors import Error, ImpossibleWish, Surroundings
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


# --- the verb


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Facts of a folder of their own, as of the day before 2.15.0."""
    folder = tmp_path / "facts"
    shutil.copytree(facts.DATA, folder)
    (folder / data_file.FILE).write_text(text_without("2.15.0"))
    (folder / facts_load.COMPILED).unlink(missing_ok=True)
    monkeypatch.setattr(facts, "DATA", folder)
    monkeypatch.chdir(tmp_path)
    facts.load.cache_clear()
    yield folder  # type: ignore[misc]
    facts.load.cache_clear()


def verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["imagekit", *arguments])
    code = cli.execute()
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_verb_writes_what_is_new(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    before = (data / data_file.FILE).read_text()
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh", "--dry-run")
    assert code == 0
    assert "new      torch/2.15.0" in out
    assert "+  - version: 2.15.0" in out
    assert "nothing was written to torch.yaml" in err
    assert (data / data_file.FILE).read_text() == before
    code, out, _ = verb(monkeypatch, capsys, "compat", "refresh", "--json")
    assert code == 0
    assert json.loads(out)["written"] is True
    facts.load.cache_clear()
    assert facts.load().release("2.15.0")
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert (code, out) == (0, "")
    assert "nothing is new for torch.yaml" in err
    assert [path.name for path in data.iterdir() if path.name.startswith(".")] == []


def test_compiled_facts_stay_compiled(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / facts_load.COMPILED).write_text(facts.compile_json(data))
    mirror(tmp_path, FACTS.releases)
    assert verb(monkeypatch, capsys, "compat", "refresh")[0] == 0
    assert '"2.15.0"' in (data / facts_load.COMPILED).read_text()
    assert (data / facts_load.COMPILED).stat().st_mtime_ns >= (data / data_file.FILE).stat().st_mtime_ns


def test_an_installed_imagekit_keeps_its_facts(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its wheel has facts.json alone."""
    (data / facts_load.COMPILED).write_text(facts.compile_json(data))
    for path in data.glob("*.yaml"):
        path.unlink()
    mirror(tmp_path, FACTS.releases)
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert code == 0
    assert out.startswith("new      torch/2.15.0")
    assert "---" not in out
    assert "an installed imagekit keeps its facts" in err
    assert [path.name for path in data.iterdir()] == [facts_load.COMPILED]


def test_an_index_that_is_not_there_is_an_error_and_nothing_is_written(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    (tmp_path / "imagekit.toml").write_text('[indexes.pypi]\nurl = "http://127.0.0.1:9/simple"\n')
    before = (data / data_file.FILE).read_text()
    code, out, err = verb(monkeypatch, capsys, "compat", "refresh")
    assert (code, out) == (4, "")
    assert "the index pypi does not answer" in err
    assert (data / data_file.FILE).read_text() == before


def test_facts_that_cannot_be_written(tmp_path: Path, data: Path) -> None:
    (data / data_file.FILE).unlink()
    (data / data_file.FILE).mkdir()
    with pytest.raises(Error, match="the facts cannot be written"):
        data_file.write(data, TEXT)
    assert [path.name for path in data.iterdir() if path.name.startswith(".")] == []


def test_a_text_that_does_not_read_is_not_written(data: Path) -> None:
    before = (data / data_file.FILE).read_text()
    with pytest.raises(Error, match=r"torch\.yaml"):
        data_file.write(data, before + "  - version: 9.9.9\n")
    assert (data / data_file.FILE).read_text() == before


# --- a torch that the facts do not have


def test_an_unknown_torch_is_taken_only_where_that_is_allowed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(tmp_path, FACTS.releases)
    asked = ("explain", "base", "--torch", "2.15", "--base", "distro:trixie")
    code, _, err = verb(monkeypatch, capsys, *asked)
    assert code == 3
    assert "imagekit compat refresh asks the indexes for it; --allow-unknown takes it as its index has it" in err
    code, out, _ = verb(monkeypatch, capsys, *asked, "--allow-unknown")
    assert code == 0
    assert "torch 2.15.0 + CUDA 13.2" in out
    assert "UNKNOWN: torch 2.15.0 is not in the facts" in out
    code, out, err = verb(
        monkeypatch, capsys, "explain", "base", "--torch", "2.14.1", "--base", "distro:trixie", "--allow-unknown"
    )
    assert code == 0
    assert "UNKNOWN" not in out
    code, _, err = verb(monkeypatch, capsys, "explain", "base", "--torch", "2.99", "--allow-unknown")
    assert code == 3
    assert "no index has a torch 2.99" in err


def test_its_image_has_a_label(tmp_path: Path) -> None:
    from imagekit.compat.resolve import resolve
    from imagekit.profile import load, wish

    the_site = mirror(tmp_path, FACTS.releases)
    known = reading.beyond(without("2.15.0"), "2.15", the_site)
    row = known.release("2.15.0")
    assert row
    assert row.sources == (FROM_INDEX,)
    # two builds on the index, and the one that pip takes
    assert [(v.name, v.pypi_default) for v in row.variants] == [("cu130", False), ("cu132", True)]
    made = resolve(load("base", ()), wish(torch="2.15", cuda="13.0", base="distro:trixie"), facts=known)
    assert made.labels["io.imagekit.unknown"].startswith("torch 2.15.0 is not in the facts of 2026-")
    assert made.torch_index == "pytorch"
    sure = resolve(load("base", ()), wish(torch="2.14.1", base="distro:trixie"), facts=known)
    assert "io.imagekit.unknown" not in sure.labels


def test_the_build_of_pip_is_enough(tmp_path: Path) -> None:
    the_site = mirror(tmp_path, FACTS.releases)
    shutil.rmtree(tmp_path / "pytorch")
    row = reading.beyond(without("2.15.0"), "2.15.0", the_site).release("2.15.0")
    assert row
    assert [v.name for v in row.variants] == ["cu132"]
    with pytest.raises(ImpossibleWish, match=r"no index has a torch 2\.15\.9"):
        reading.beyond(FACTS, "2.15.9", the_site)
    shutil.rmtree(tmp_path / "pypi")
    with pytest.raises((ImpossibleWish, Surroundings)):
        reading.beyond(FACTS, "2.16", the_site)
