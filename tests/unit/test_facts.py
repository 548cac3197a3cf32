"""The facts are complete, agree with each other, and say what their sources say."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from imagekit.compat import facts, facts_load
from imagekit.compat.facts import Facts
from imagekit.compat.resolve import resolve
from imagekit.compat.rows import FACT_KEYS, Gpu, Release, Variant
from imagekit.errors import Error, ImpossibleWish, UsageError
from imagekit.profile import Wishes, load
from imagekit.resolution import Resolution
from imagekit.smoke import checks

ROWS = {
    "torch": "releases",
    "cuda": "toolkits",
    "gpus": "gpus",
    "drivers": "drivers",
    "os": "systems",
    "constraints": "constraints",
    "recipes": "recipes",
    "features": "features",
}
SUITES = ("bullseye", "bookworm", "trixie", "focal", "jammy", "noble")
PROSE = {"note", "notice", "reason", "about", "sources"}


@pytest.fixture(scope="module")
def known() -> Facts:
    return facts_load.read(facts.DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The YAML files alone, to be damaged."""
    for path in facts.DATA.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def rows(row: object) -> Iterator[object]:
    """A row and the rows in it."""
    yield row
    for field in dataclasses.fields(row):  # type: ignore[arg-type]
        value = getattr(row, field.name)
        if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for inner in value:
                yield from rows(inner)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)


def variants(known: Facts) -> list[tuple[Release, Variant]]:
    return [(release, variant) for release in known.releases for variant in release.variants]


def minor(version: str) -> tuple[int, ...]:
    return Version(version).release


# Every row


@pytest.mark.parametrize("file", ROWS)
def test_every_row_has_sources_that_resolve(known: Facts, file: str) -> None:
    date.fromisoformat(known.collected[file])
    used: set[str] = set()
    for top in getattr(known, ROWS[file]):
        for row in rows(top):
            sources = row.sources  # type: ignore[attr-defined]
            assert sources, row
            for source in sources:
                assert source in known.sources[file] or source.startswith("https://"), (row, source)
                used.add(source)
    assert used >= set(known.sources[file]), "a source that no row cites"


@pytest.mark.parametrize("file", ROWS)
def test_every_source_is_one_that_a_reader_can_find(known: Facts, file: str) -> None:
    for key, text in known.sources[file].items():
        assert len(text) > 10 or text.startswith("https://"), key


@pytest.mark.parametrize("file", ROWS)
def test_values_are_values_and_prose_is_in_notes(known: Facts, file: str) -> None:
    for top in getattr(known, ROWS[file]):
        for row in rows(top):
            for field in dataclasses.fields(row):  # type: ignore[arg-type]
                if field.name in PROSE:
                    continue
                for text in texts(getattr(row, field.name)):
                    assert not re.search(r"unknown|\bnone\b|\bany known\b|\.\.|\?|TODO", text, re.IGNORECASE), (
                        row,
                        text,
                    )


def test_no_host_of_a_package_index_is_named() -> None:
    hosts = re.compile(r"(?:\b|\.)(?:pypi|pythonhosted|debian|npmjs|ubuntu)\.(?:org|com)\b")
    for path in facts.DATA.glob("*.yaml"):
        assert not hosts.search(path.read_text(encoding="utf-8")), path.name


# drivers


def test_a_branch_of_the_driver_ends_in_a_month_or_is_over(known: Facts) -> None:
    assert [int(row.branch) for row in known.drivers] == sorted({int(row.branch) for row in known.drivers})
    for row in known.drivers:
        assert bool(row.ends) != bool(row.over), row.branch
        assert re.fullmatch(r"20\d\d-[01]\d", row.ends) if row.ends else date.fromisoformat(row.over or "")
        assert row.kind in (None, "long-term", "production", "feature")
    assert known.driver_branch("535.183.01") is known.driver_branch("535")
    # every last branch of a GPU has a row
    last = {gpu.last_driver_branch for gpu in known.gpus if gpu.last_driver_branch}
    assert all(known.driver_branch(branch) for branch in last)


# torch


def test_releases_are_unique_and_ascending(known: Facts) -> None:
    versions = [Version(release.version) for release in known.releases]
    assert versions == sorted(set(versions))
    for release in known.releases:
        cudas = [minor(variant.cuda) for variant in release.variants]
        assert cudas == sorted(set(cudas))
        date.fromisoformat(release.released)


def test_a_variant_has_the_name_of_its_cuda_and_a_toolkit(known: Facts) -> None:
    for release, variant in variants(known):
        assert variant.name == "cu" + variant.cuda.replace(".", ""), release.version
        assert known.toolkit(variant.cuda), (release.version, variant.cuda)


def test_exactly_one_variant_is_the_default_of_pypi(known: Facts) -> None:
    for release in known.releases:
        assert [variant.pypi_default for variant in release.variants].count(True) == 1
        assert release.pypi_variant.official
        assert release.pypi_variant.ptx == ()


def test_pythons_are_those_that_the_release_accepts(known: Facts) -> None:
    for release in known.releases:
        accepted = SpecifierSet(release.requires_python)
        assert release.pythons
        assert list(map(minor, release.pythons)) == sorted(set(map(minor, release.pythons)))
        for python in release.pythons:
            assert re.fullmatch(r"3\.\d+", python)
            assert python in accepted, (release.version, python)


def test_companions_and_requirements_of_a_release(known: Facts) -> None:
    for release in known.releases:
        Version(release.torchvision)
        Version(release.torchaudio)
        assert release.numpy_abi in ("", "<2")
        assert re.fullmatch(r"c\+\+\d\d", release.cxx_standard)
        for name, text in (("triton", release.triton), ("setuptools", release.setuptools)):
            assert text is None or Requirement(text).name == name
        if Version(release.version) >= Version("2.0"):
            assert release.triton, release.version


def test_architectures_are_those_that_the_toolkit_compiles_for(known: Facts) -> None:
    for release, variant in variants(known):
        toolkit = known.toolkit(variant.cuda)
        assert toolkit is not None
        for architecture in variant.gpu_architectures or ():
            number = int(architecture.removeprefix("sm_"))
            assert toolkit.min_sm is None or number >= int(toolkit.min_sm[3:]), (release.version, variant.name)
            assert toolkit.max_sm is None or number <= int(toolkit.max_sm[3:]), (release.version, variant.name)
        for ptx in variant.ptx or ():
            assert re.fullmatch(r"compute_\d+", ptx)
        assert variant.gpu_architectures != ()


def test_versions_of_libraries_and_glibc(known: Facts) -> None:
    for release, variant in variants(known):
        for version in (variant.cudnn, variant.nccl):
            assert version is None or re.fullmatch(r"\d+(\.\d+)+", version)
        assert variant.glibc in ("2.17", "2.28")
        assert minor(variant.glibc) >= minor(release.glibc)


def test_a_new_cxx_abi_stays(known: Facts) -> None:
    assert [release.version for release in known.releases if not release.pypi_variant.cxx11_abi][-1] == "2.6.0"


# CUDA, GPUs, distributions


def test_toolkits(known: Facts) -> None:
    versions = [minor(toolkit.version) for toolkit in known.toolkits]
    assert versions == sorted(set(versions))
    for toolkit in known.toolkits:
        drivers = [
            *toolkit.driver_updates.values(),
            toolkit.compat_driver,
            *([toolkit.driver] if toolkit.driver else []),
        ]
        for driver in drivers:
            assert re.fullmatch(r"\d{3}(\.\d+)*", driver), toolkit.version
        if toolkit.driver:
            assert Version(toolkit.compat_driver) <= Version(toolkit.driver)
        for compiler in (toolkit.host_gcc, toolkit.host_clang):
            assert compiler is None or SpecifierSet(compiler)


def test_images_of_nvidia_cuda_have_tags(known: Facts) -> None:
    for toolkit in known.toolkits:
        for image in toolkit.images:
            assert image.version.startswith(toolkit.version + ".")
            for flavour, releases in image.flavours.items():
                assert re.fullmatch(r"base|runtime|devel|cudnn[89]?-(runtime|devel)", flavour)
                assert releases and all(re.fullmatch(r"\d\d\.04", release) for release in releases)
            assert image.flavours or image.note
    [image] = [image for toolkit in known.toolkits for image in toolkit.images if image.version == "12.1.1"]
    assert image.tags("cudnn8-devel") == ("12.1.1-cudnn8-devel-ubuntu20.04", "12.1.1-cudnn8-devel-ubuntu22.04")
    assert image.tags("cudnn9-devel") == ()


def test_gpus(known: Facts) -> None:
    for gpu in known.gpus:
        assert gpu.sm == "sm_" + gpu.compute_capability.replace(".", "")
        assert gpu.max_cuda is None or minor(gpu.min_cuda) <= minor(gpu.max_cuda)
        for name in (gpu.name, *gpu.aliases):
            assert known.gpu(name) is gpu, name
            assert known.gpu("NVIDIA " + name.upper()) is gpu, name


def test_gpus_that_sound_alike_are_not_confused(known: Facts) -> None:
    assert capability(known, "H20") == "9.0"
    assert known.gpu("H20") is not known.gpu("H200")
    assert known.gpu("L4") is not known.gpu("L40")
    assert known.gpu("RTX 4090 D") is not known.gpu("RTX 4090")
    for name in ("H2", "H", "RTX", "RTX 6000", "", "NVIDIA", "H100 something"):
        assert known.gpu(name) is None


def test_a_gpu_that_cuda_13_dropped_has_a_last_driver(known: Facts) -> None:
    for gpu in known.gpus:
        assert (gpu.last_driver_branch == "580") == (gpu.max_cuda == "12.9")


def test_distributions(known: Facts) -> None:
    assert [system.suite for system in known.systems] == list(SUITES)
    for system in known.systems:
        assert known.suite(system.suite.upper()) is system
        assert known.suite(f"{system.id}:{system.version}") is known.suite(system.id + system.version) is system
        assert re.fullmatch(r"3\.\d+", system.python)
        assert system.end_of_support and system.end_of_extended_support
        assert date.fromisoformat(system.end_of_support) < date.fromisoformat(system.end_of_extended_support)
    assert known.suite("sid") is None


def test_the_python_decides_the_suite(known: Facts) -> None:
    suites = {
        python: [system.suite for system in known.suites_with_python(python)] for python in ("3.11", "3.13", "3.7")
    }
    assert suites == {"3.11": ["bookworm"], "3.13": ["trixie"], "3.7": []}


# Constraints, recipes, features


def test_constraints_can_be_read_by_a_machine(known: Facts) -> None:
    ids = [row.id for row in known.constraints]
    assert len(ids) == len(set(ids))
    for row in known.constraints:
        assert row.package == canonicalize_name(row.package), row.id
        SpecifierSet(row.versions)
        for key, versions in row.when.items():
            assert key in FACT_KEYS or key == canonicalize_name(key), row.id
            SpecifierSet(versions)
            assert versions or key not in FACT_KEYS, row.id
        for need in row.needs:
            assert Requirement(need).name == canonicalize_name(Requirement(need).name), row.id
        assert row.effect != "add" or row.needs or row.needs_apt, row.id
        assert row.reason.endswith("."), row.id
        assert not re.search(r"\. [A-Z]", row.reason), f"{row.id}: one sentence"


def test_constraints_agree_with_the_releases(known: Facts) -> None:
    numpy = known.constraint("torch-numpy-1")
    assert numpy is not None and numpy.effect == "add" and numpy.needs == ("numpy<2",)
    for release in known.releases:
        assert (release.version in SpecifierSet(numpy.versions)) == (release.numpy_abi == "<2"), release.version
    for row in known.constraints:
        for text in row.needs:
            need = Requirement(text)
            if need.name == "torch" and row.package in ("xformers", "torchcodec"):
                assert any(release.version in need.specifier for release in known.releases), row.id


@pytest.mark.parametrize(
    ("package", "version", "torch", "fits"),
    [
        ("xformers", "0.0.30", "2.7.0", True),
        ("xformers", "0.0.30", "2.7.1", False),
        ("xformers", "0.0.35", "2.15.0", True),
        ("torchcodec", "0.7.0", "2.8.0", True),
        ("torchcodec", "0.7.0", "2.9.1", False),
        ("transformers", "5.2.0", "2.4.1", True),
        ("transformers", "5.2.0", "2.3.1", False),
        ("transformers", "4.46.3", "2.1.0", True),
        ("deepspeed", "0.9.5", "2.3.1", True),
        ("deepspeed", "0.14.3", "2.4.0", False),
        ("deepspeed", "0.14.4", "2.4.0", True),
    ],
)
def test_what_goes_with_a_torch(known: Facts, package: str, version: str, torch: str, fits: bool) -> None:
    allowed = all(
        torch in Requirement(need).specifier
        for row in known.constraints
        if row.effect == "refuse" and row.package == package and not row.when and version in SpecifierSet(row.versions)
        for need in row.needs
        if Requirement(need).name == "torch"
    )
    assert allowed is fits


def test_recipes_know_every_suite(known: Facts) -> None:
    for recipe in known.recipes:
        SpecifierSet(recipe.versions)
        assert set(recipe.apt_build) == set(recipe.apt_runtime) == set(SUITES)
        assert not any(name.endswith("-dev") for names in recipe.apt_runtime.values() for name in names)
    simd = known.recipe("pillow-simd")
    assert simd is not None
    assert simd.cpu_level == "x86-64-v3" and "-mavx2" in simd.env["CC"]
    assert "libtiff6" in simd.apt_runtime["bookworm"] and "libtiff5" in simd.apt_runtime["jammy"]


def test_features_are_one_word_each(known: Facts) -> None:
    assert [feature.name for feature in known.features] == ["compile", "nvdec", "rdma", "deepspeed", "dev"]
    proven = {check.name for check in checks.ALL}
    for feature in known.features:
        assert set(feature.apt) <= {"any", *SUITES}
        assert feature.checks and feature.size_mb > 0
        assert set(feature.checks) <= proven, feature.name
        assert "NVIDIA_VISIBLE_DEVICES" not in feature.env
        for requirement in feature.packages:
            Requirement(requirement)
    rdma = known.feature("rdma")
    assert rdma is not None
    assert "librdmacm1" in rdma.apt_for("bookworm") and "librdmacm1t64" in rdma.apt_for("trixie")


def test_a_recipe_is_for_the_version_that_is_pinned(known: Facts) -> None:
    old, new = known.recipe("deepspeed", "0.9.5"), known.recipe("deepspeed")
    assert old is not None and new is not None
    assert "pydantic<2.0.0" in old.requires and "pydantic>=2.0.0" in new.requires
    assert known.recipe("deepspeed", "0.19.5") == known.recipe("deepspeed", "0.13.0") == new
    assert known.recipe("pillow-simd", "12.1.1.post0") == known.recipe("pillow-simd")
    assert known.recipe("numpy") is None


# The stacks of the built-in profiles


def resolved(name: str, **wishes: object) -> Resolution:
    return resolve(load(name), Wishes(**wishes))  # type: ignore[arg-type]


def test_multimodal_says_what_upstream_tests() -> None:
    r = resolved("multimodal")
    assert (r.torch, r.cuda, r.python) == ("2.1.0", "12.1", "3.11")
    (line,) = [note for note in r.notes if note.endswith("[deepspeed-before-torch-2.1]")]
    assert "torch 1.13.1 + CUDA 11.6" in line
    asked = {want.requirement for want in r.wants}
    assert {"numpy==1.26.4", "pydantic==1.10.27", "tokenizers==0.13.3", "setuptools==68.2.2", "pillow"} <= asked
    assert [build.versions for build in r.builds] == [">=0.9.1,<=0.11.1"]
    assert any("compiled at first use (JIT)" in note for note in r.notes)
    assert r.labels["io.imagekit.deepspeed-ops"] == "jit"


def test_the_stack_of_2023_is_left_with_another_torch() -> None:
    r = resolved("multimodal", torch="2.0.1")
    assert not any("multimodal-2023-stack" in want.why for want in r.wants)
    assert not any("deepspeed-before-torch-2.1" in note for note in r.notes)
    with pytest.raises(ImpossibleWish, match="the facts refuse this") as refused:
        resolved("multimodal", torch="2.4")
    assert any("deepspeed-torch-2.4" in line for line in refused.value.details)


@pytest.mark.parametrize(("profile", "wish", "torch", "cuda", "torchvision"), [
    ("multimodal", {"cuda": "11.8"}, "2.1.0", "11.8", "0.16.0+cu118"),
    ("vision", {}, "2.4.1", "12.1", "0.19.1"),
    ("vision", {"torch": "2.7"}, "2.7.1", "12.6", "0.22.1"),
    ("video-llm", {"torch": "2.9"}, "2.9.1", "12.8", "0.24.1"),
])  # fmt: skip
def test_torchvision_follows(profile: str, wish: dict[str, str], torch: str, cuda: str, torchvision: str) -> None:
    r = resolved(profile, **wish)
    assert (r.torch, r.cuda) == (torch, cuda)
    assert f"torchvision=={torchvision}" in {want.requirement for want in r.wants}
    assert bool([note for note in r.notes if note.startswith("cuda moves")]) == ("torch" in wish)


def test_a_feature_of_the_command_line_is_a_suffix_and_no_second_one() -> None:
    assert resolved("video-llm", features=("dev",)).differs == ("dev",)
    assert resolved("video-llm", features=("compile", "dev", "dev")).differs == ("dev",)
    assert resolved("multimodal", features=("deepspeed",)).differs == ()
    assert {"git", "openssh-server", "libnss-wrapper"} <= set(resolved("base", features=("dev",)).apt)
    with pytest.raises(UsageError, match="the command line") as unknown:
        resolved("base", features=("devv",))
    assert list(unknown.value.details) == ["--feature devv: did you mean dev?"]


# What people get wrong


def capability(known: Facts, name: str) -> str | None:
    gpu: Gpu | None = known.gpu(name)
    return gpu.compute_capability if gpu else None


def carrying(known: Facts, variant: str) -> list[str]:
    return [release.version for release in known.releases if release.variant(variant)]


def test_where_variants_begin_and_end(known: Facts) -> None:
    assert carrying(known, "cu118")[0] == "2.0.0" and carrying(known, "cu118")[-1] == "2.7.1"
    assert carrying(known, "cu121")[-1] == "2.5.1"
    assert carrying(known, "cu117")[-1] == "2.0.1"
    assert carrying(known, "cu126")[-1] == "2.14.1"
    assert [variant.name for variant in known.variants_of("2.7.0")] == ["cu118", "cu126", "cu128"]
    assert [variant.name for variant in known.variants_of("2.9.1") if variant.official] == ["cu126", "cu128", "cu130"]
    assert known.release("2.12.0") and not known.release("2.12.0").variant("cu129")  # type: ignore[union-attr]
    assert known.variants_of("2.7.9") == ()


@pytest.mark.parametrize(
    ("torch", "torchvision", "torchaudio", "variant", "cudnn", "nccl"),
    [
        ("2.1.0", "0.16.0", "2.1.0", "cu121", "8.9.2.26", "2.18.1"),
        ("2.3.0", "0.18.0", "2.3.0", "cu121", "8.9.2.26", "2.20.5"),
        ("2.4.1", "0.19.1", "2.4.1", "cu121", "9.1.0.70", "2.20.5"),
        ("2.7.0", "0.22.0", "2.7.0", "cu126", "9.5.1.17", "2.26.2"),
        ("2.9.1", "0.24.1", "2.9.1", "cu128", "9.10.2.21", "2.27.5"),
        ("2.15.0", "0.29.2", "2.11.0", "cu132", "9.26.0.51", "2.30.7"),
    ],
)
def test_what_goes_with_a_release(
    known: Facts, torch: str, torchvision: str, torchaudio: str, variant: str, cudnn: str, nccl: str
) -> None:
    release = known.release(torch)
    assert release is not None
    assert (release.torchvision, release.torchaudio) == (torchvision, torchaudio)
    default = release.pypi_variant
    assert (default.name, default.cudnn, default.nccl) == (variant, cudnn, nccl)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RTX 3090", "8.6"),
        ("GeForce RTX 4090", "8.9"),
        ("L40S", "8.9"),
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("Tesla V100-SXM2-32GB", "7.0"),
        ("v100", "7.0"),
        ("t4", "7.5"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("B200", "10.0"),
        ("5090", "12.0"),
    ],
)
def test_compute_capabilities(known: Facts, name: str, expected: str) -> None:
    assert capability(known, name) == expected


def test_volta_runs_on_cu126_up_to_2_14(known: Facts) -> None:
    def carry(variant: str) -> list[str]:
        return [
            release.version
            for release, build in variants(known)
            if build.name == variant and "sm_70" in (build.gpu_architectures or ())
        ]

    assert carry("cu126") == carrying(known, "cu126")
    assert carry("cu128") == ["2.8.0", "2.9.0", "2.9.1", "2.10.0"]
    assert carry("cu130") == carry("cu132") == []


def test_h100_needs_cu118_with_torch_2_0(known: Facts) -> None:
    have = {variant.name: "sm_90" in (variant.gpu_architectures or ()) for variant in known.variants_of("2.0.1")}
    assert have == {"cu117": False, "cu118": True}


@pytest.mark.parametrize(
    ("cuda", "driver", "compat"),
    [("11.8", "520.61.05", "450.80.02"), ("12.1", "530.30.02", "525.60.13"), ("13.0", "580.65.06", "580")],
)
def test_drivers(known: Facts, cuda: str, driver: str, compat: str) -> None:
    toolkit = known.toolkit(cuda)
    assert toolkit is not None
    assert (toolkit.driver, toolkit.compat_driver) == (driver, compat)
    assert known.toolkit("12.7") is None


# Loading


def test_the_compiled_facts_are_the_same_facts(folder: Path) -> None:
    from_yaml = facts_load.read(folder)
    text = facts.compile_json(folder)
    assert text == facts.compile_json(folder)
    (folder / "facts.json").write_text(text, encoding="utf-8")
    for path in folder.glob("*.yaml"):
        path.unlink()
    assert facts_load.read(folder) == from_yaml


def test_a_changed_yaml_file_wins_over_older_compiled_facts(folder: Path) -> None:
    compiled = folder / "facts.json"
    compiled.write_text(facts.compile_json(folder), encoding="utf-8")
    gpus = folder / "gpus.yaml"
    gpus.write_text(gpus.read_text(encoding="utf-8").replace("Tesla K80", "Tesla K81"), encoding="utf-8")
    os.utime(compiled, (1, 1))
    assert facts_load.read(folder).gpu("Tesla K81")
    os.utime(compiled, (2**32, 2**32))
    assert facts_load.read(folder).gpu("Tesla K80")


def test_facts_are_loaded_once() -> None:
    assert facts.load() is facts.load()


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("torch", "glibc: '2.17'", "glibc: 2.17", "torch.yaml: 1.13.0: glibc: 2.17 is not a string"),
        ("torch", "pypi_default: true", "pypi_default: false", "torch.yaml: 1.13.0: exactly one variant"),
        ("torch", "  - version: 1.13.0", "  - vresion: 1.13.0", "torch.yaml: row 1: version is missing"),
        ("gpus", "aliases: [K80]", "aliases: K80", "gpus.yaml: Tesla K80: aliases: 'K80' is not a list"),
        ("gpus", "    sm: sm_37", "    sm: sm_37\n    smm: x", "gpus.yaml: Tesla K80: unknown field smm"),
        ("cuda", "base: ['20.04']", "base: [20.04]", "cuda.yaml: 11.6: 11.6.1: flavours.base: 20.04 is not a string"),
        ("constraints", "effect: add", "effect: adds", "constraints.yaml: torch-numpy-1: effect: 'adds'"),
        ("features", "size_mb: 285", "size_mb: big", "features.yaml: compile: size_mb: 'big' is not a whole number"),
        ("os", "systems:", "system:", "os.yaml: systems has no rows"),
        ("os", "systems:", "systems: [", "os.yaml cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_its_row(folder: Path, file: str, old: str, new: str, says: str) -> None:
    path = folder / f"{file}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Error, match=re.escape(says)):
        facts_load.read(folder)
    with pytest.raises(Error, match=re.escape(says)):
        facts.compile_json(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "cuda.yaml").unlink()
    with pytest.raises(Error, match=r"cuda\.yaml cannot be read"):
        facts_load.read(folder)


def test_damaged_compiled_facts_are_named(folder: Path) -> None:
    compiled = folder / "facts.json"
    compiled.write_text("{", encoding="utf-8")
    os.utime(compiled, (2**32, 2**32))
    with pytest.raises(Error, match=r"facts\.json cannot be read"):
        facts_load.read(folder)
