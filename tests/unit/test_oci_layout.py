"""An OCI layout that is written to again: what is there and good stays, what is damaged is replaced."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.oci import image, layout
from imagekit.oci.folder import Folder
from imagekit.oci.image import Configuration, Image, Stacked
from imagekit.oci.layer import Layer


@pytest.fixture
def made(tmp_path: Path) -> Image:
    path = tmp_path / "blob"
    path.write_bytes(b"a layer")
    digest = hashlib.sha256(b"a layer").hexdigest()
    return image.make((Stacked(Layer(digest, digest, 7, 7, 1), path, "a test"),), Configuration(), 0)


def _shorter(blob: Path) -> None:
    blob.write_bytes(b"a lay")


def _other(blob: Path) -> None:
    blob.write_bytes(b"A LAYER")


@pytest.mark.parametrize("damage", [_shorter, _other])
def test_a_damaged_blob_is_replaced(made: Image, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    layout.write(made, tmp_path / "out", ["one"])
    blob = Folder(tmp_path / "out").blob(f"sha256:{made.layers[0].layer.digest}")
    blob.unlink()  # else it is the file of the cache that is damaged
    damage(blob)
    layout.write(made, tmp_path / "out", ["one"])
    assert blob.read_bytes() == b"a layer"
    assert Folder(tmp_path / "out").whole(f"sha256:{blob.name}") == blob
    assert len(list(blob.parent.iterdir())) == 3


@pytest.mark.parametrize("copied", [True, False])
def test_a_good_one_stays(made: Image, tmp_path: Path, copied: bool) -> None:
    layout.write(made, tmp_path / "out", ["one"])
    blob = Folder(tmp_path / "out").blob(f"sha256:{made.layers[0].layer.digest}")
    if copied:
        shutil.copyfile(blob, tmp_path / "copy")
        os.replace(tmp_path / "copy", blob)
    before = blob.stat().st_ino
    layout.write(made, tmp_path / "out", ["one", "two"])
    assert blob.stat().st_ino == before and len(list(blob.parent.iterdir())) == 3
