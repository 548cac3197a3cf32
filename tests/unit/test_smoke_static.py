"""Static checks: files against RECORD, owners of files, setuid programs, labels, one CUDA, libraries."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from imagekit.smoke import records
from imagekit.smoke.check import Failure, Image, Package
from imagekit.smoke.checks import (
    gpu_architectures,
    installed_files,
    labels,
    libraries,
    one_cuda,
    overlapping_files,
    setuid,
)


def distribution(site: Path, name: str, **files: str) -> Distribution:
    """A distribution as an installer leaves it, with the hash of every file in RECORD."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    rows = []
    for path, text in files.items():
        path = path.replace("__", "/", 1) + ".py"
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,", f"{info.name}/METADATA,,"]) + "\n")
    return PathDistribution(info)


def test_a_file_that_was_edited_or_lost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python 3.12 and later leave out of it what is not there
    monkeypatch.setattr(Distribution, "files", [])
    found = distribution(tmp_path, "demo", demo__a="x = 1\n", demo__b="y = 2\n", demo__c="z = 3\n")
    assert list(records.altered(records.hashed(found))) == []
    (tmp_path / "demo/a.py").write_text("x = 2\n")
    (tmp_path / "demo/b.py").unlink()
    changed = list(records.altered(records.hashed(found)))
    assert changed == [("demo/a.py", "was changed"), ("demo/b.py", "is gone")]


def test_of_metadata_only_what_is_read_counts(tmp_path: Path) -> None:
    found = distribution(tmp_path, "demo", **{"demo-1.0.dist-info__top_level": "demo"})
    assert records.hashed(found) == []


def test_the_whole_check_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "demo", demo__a="x = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    image = Image({}, {}, packages=(package("demo"),))
    assert installed_files.run(image) == {"files": 1}
    (tmp_path / "demo/a.py").write_text("x = 2\n")
    with pytest.raises(Failure, match=r"demo/a.py was changed") as caught:
        installed_files.run(image)
    assert "RECORD" in caught.value.expected


def package(name: str) -> Package:
    return Package(name, "1.0", "rest", False)


def test_two_owners_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "one", cv2__core="1\n", shared__same="# as it is\n")
    distribution(tmp_path, "two", cv2__core="2\n", shared__same="# as it is\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    owners = overlapping_files.owners()
    assert set(owners) == {"cv2/core.py", "shared/same.py"}
    with pytest.raises(Failure, match="1 files of one and two, such as cv2/core.py"):
        overlapping_files.run(Image({}, {}))
    # whoever was installed last has won: which files are whose is told once, by the check for it
    assert installed_files.run(Image({}, {}, packages=(package("one"), package("two")))) == {"files": 2}


@pytest.mark.parametrize(("wins", "found"), [
    (["two"], ""), (["one"], "cv2/core.py is not that of one"), (["one", "two"], "1 files of one and two"), (["three"], "1 files"),
])  # fmt: skip
def test_two_owners_of_a_file_and_a_profile_that_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wins: list[str], found: str
) -> None:
    distribution(tmp_path, "one", cv2__core="1\n", one__x="")
    distribution(tmp_path, "two", cv2__core="2\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "lib/python").mkdir(parents=True)
    (tmp_path / "lib/python/site-packages").symlink_to(tmp_path)
    image = Image({"resolution": {"wins": wins}}, {}, venv=tmp_path)
    if found:
        with pytest.raises(Failure, match=found):
            overlapping_files.run(image)
    else:
        assert overlapping_files.run(image) == {"shared": 1}


@pytest.mark.parametrize(("text", "clash"), [("", False), ('"""A namespace."""\n', False), ("import os\n", True)])
def test_init_files_without_a_statement_are_no_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, clash: bool
) -> None:
    distribution(tmp_path, "one", ns____init__="# first\n")
    distribution(tmp_path, "two", ns____init__="# second\n" + text)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    image = Image({}, {}, venv=tmp_path)
    (tmp_path / "lib/python").mkdir(parents=True)
    (tmp_path / "lib/python/site-packages").symlink_to(tmp_path)
    if clash:
        with pytest.raises(Failure):
            overlapping_files.run(image)
    else:
        assert overlapping_files.run(image) == {"shared": 1}


def test_setuid_programs_that_no_package_brought(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, mode in (("plain", 0o755), ("mine", 0o4755), ("group", 0o2755)):
        (tmp_path / "bin" / name).touch()
        (tmp_path / "bin" / name).chmod(mode)
    (tmp_path / "bin" / "link").symlink_to("mine")
    assert {path.name for path in setuid.files(tmp_path)} == {"mine", "group"}
    info = tmp_path / "info"
    info.mkdir()
    (info / "login.list").write_text("/.\n/bin\n/bin/su\n/usr/bin/passwd\n")
    assert setuid.packaged(info) >= {"/bin/su", "/usr/bin/su", "/usr/bin/passwd"}


def test_labels_that_are_not_true() -> None:
    true = {"torch": "2.4.1", "cuda": "12.1", "features": ""}
    assert labels.differences({"torch": "2.4.1", "cuda": "12.1", "lock": "x"}, true) == {}
    assert labels.differences({"torch": "2.5.0", "features": "dev"}, true) == true


@pytest.mark.parametrize(("names", "said"), [
    (["nvidia-cublas-cu12", "nvidia-cudnn-cu12", "torch"], []),
    (["nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"], []),
    (["nvidia-cublas-cu12", "nvidia-cublas-cu11"], ["cublas for CUDA 11 and 12"]),
    (["nvidia-cublas-cu12", "nvidia-cublas"], ["cublas for CUDA 12 and 13 or later"]),
])  # fmt: skip
def test_cuda_of_two_versions(names: list[str], said: list[str]) -> None:
    assert one_cuda.majors(names) == said


def test_large_cuda_libraries_of_the_system(tmp_path: Path) -> None:
    place = tmp_path / "usr/local/cuda-12.1/targets/x86_64-linux/lib"
    place.mkdir(parents=True)
    (place / "libcublas.so.12.1.3.1").touch()
    (place / "libcublas.so.12").symlink_to("libcublas.so.12.1.3.1")
    (place / "libnvToolsExt.so.1").touch()
    assert [Path(path).name for path in one_cuda.in_system(tmp_path)] == ["libcublas.so.12.1.3.1"]


def test_libraries_are_tried_until_nothing_more_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """One finds its neighbour only when that is loaded already."""
    loaded: list[str] = []

    def load(path: str, mode: int) -> None:
        assert mode == os.RTLD_NOW | os.RTLD_LOCAL
        if path == "/broken.so":
            raise OSError("/broken.so: undefined symbol: nowhere")
        if path == "/first.so" and "/second.so" not in loaded:
            raise OSError("second.so: cannot open shared object file: No such file or directory")
        loaded.append(path)

    monkeypatch.setattr(libraries.ctypes, "CDLL", load)
    problems = libraries.load([Path("/broken.so"), Path("/first.so"), Path("/second.so")])
    assert problems == {"/broken.so": "/broken.so: undefined symbol: nowhere"}
    assert loaded == ["/second.so", "/first.so"]


@pytest.mark.parametrize(("name", "is_one"), [
    ("_C.cpython-311-x86_64-linux-gnu.so", True), ("_core.abi3.so", True), ("libtorch.so", False),
    ("libav.so.58.1", False),
])  # fmt: skip
def test_which_libraries_are_modules_of_python(name: str, is_one: bool) -> None:
    assert bool(libraries.EXTENSION.search(name)) is is_one


@pytest.mark.parametrize(("code", "sm", "can"), [
    (["sm_80", "sm_90"], "sm_86", True), (["sm_86"], "sm_80", False), (["sm_90"], "sm_100", False),
    (["compute_90"], "sm_120", True), (["compute_90"], "sm_80", False), (["sm_100"], "sm_103", True), ([], "sm_80", False),
])  # fmt: skip
def test_which_code_a_gpu_runs(code: list[str], sm: str, can: bool) -> None:
    assert gpu_architectures.runs(code, sm) is can


def test_targets_are_held_against_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = "torch/lib/libtorch_cuda.so"
    libraries_ = {torch: ["sm_80", "sm_90"], "x/other.so": ["sm_90"]}
    monkeypatch.setenv("IMAGEKIT_TARGETS", '{"a100": "sm_80", "h100": "sm_90", "unknown": ""}')
    told = gpu_architectures._targets(libraries_, [])
    assert told == {"targets": {"a100": "sm_80", "h100": "sm_90"}, "without_code_for": {"x/other.so": ["a100"]}}
    monkeypatch.setenv("IMAGEKIT_TARGETS", '{"b200": "sm_100"}')
    with pytest.raises(Failure, match=r"libtorch_cuda.so has no code for b200 \(sm_100\)"):
        gpu_architectures._targets(libraries_, [])
    monkeypatch.delenv("IMAGEKIT_TARGETS")
    assert gpu_architectures._targets(libraries_, []) == {}
