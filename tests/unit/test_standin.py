"""The wheel that stands in for a replaced distribution: the same bytes, and good enough for pip and its metadata."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib import metadata
from io import BytesIO
from pathlib import Path

import pytest
import standins
from uv import find_uv_bin

from imagekit.lock import standin


def test_the_bytes_depend_on_names_and_versions_only() -> None:
    name, content = standin.wheel("pillow", "pillow-simd", "9.5.0.post2")
    assert name == "pillow-9.5.0-py3-none-any.whl"
    assert standin.wheel("pillow", "pillow-simd", "9.5.0.post2") == (name, content)
    assert standin.wheel("pillow", "pillow-simd", "9.5.0.post1")[1] != content


@pytest.mark.parametrize(
    ("replacement", "upstream"), [("9.5.0.post2", "9.5.0"), ("12.1.1", "12.1.1"), ("1.0+cu121", "1.0")]
)
def test_the_version_is_that_of_upstream(replacement: str, upstream: str) -> None:
    assert standin.version_of(replacement) == upstream


def test_it_has_no_files_of_its_own() -> None:
    with zipfile.ZipFile(BytesIO(standin.wheel("a_b.c", "b", "1")[1])) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"a_b_c-1.dist-info"}
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_installers_take_it_and_metadata_agrees(tmp_path: Path) -> None:
    """With uv, which checks RECORD; then pip's own view of whether all requirements are met."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    name, content = standin.wheel("pillow", "pillow-simd", "9.5.0.post2")
    (wheels / name).write_bytes(content)
    others = [
        standins.Wheel("pillow-simd", "9.5.0.post2", modules={"PIL/__init__.py": "__version__ = '9.5.0'\n"}),
        standins.Wheel("needs-pillow", "1.0", requires=("pillow>=9,<10",)),
    ]
    for wheel in others:
        (wheels / wheel.file).write_bytes(wheel.content())
    target = tmp_path / "target"
    call = [find_uv_bin(), "pip", "install", "-q", "--no-config", "--no-index", "--find-links", str(wheels)]
    call += [
        "--python",
        sys.executable,
        "--target",
        str(target),
        "--cache-dir",
        str(tmp_path / "cache"),
        "needs-pillow",
    ]
    subprocess.run(call, check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert (target / "PIL/__init__.py").is_file(), "the stand-in brings in what it stands for"
    (found,) = metadata.distributions(name="pillow", path=[str(target)])
    assert (found.version, found.requires) == ("9.5.0", ["pillow-simd (==9.5.0.post2)"])
    assert all(file.locate().exists() for file in found.files or ())
    check = (
        "import sys, json; sys.path[:0] = [sys.argv[1]];"
        "from importlib.metadata import distributions; from packaging.requirements import Requirement;"
        "have = {d.metadata['Name']: d.version for d in distributions(path=[sys.argv[1]])};"
        "print(json.dumps([r for d in distributions(path=[sys.argv[1]]) for r in map(Requirement, d.requires or ())"
        " if not r.specifier.contains(have.get(r.name, '0'))], default=str))"
    )
    done = subprocess.run([sys.executable, "-c", check, str(target)], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_the_stand_ins_of_these_tests_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    standins.index(tmp_path / "one")
    standins.index(tmp_path / "two")
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in ("one", "two"))
    assert one == two and "torch-2.4.1-py3-none-any.whl" in one
