"""Layers of anybody, unpacked: nothing leaves the root, and what is gone is gone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.compose import room, tree
from imagekit.errors import Error, Surroundings
from imagekit.oci.image import Stacked
from imagekit.oci.layer import Layer


@pytest.fixture(autouse=True)
def namespaces() -> None:
    try:
        room.unshare()
    except Surroundings as error:
        pytest.skip(error.message)


def stacked(folder: Path, *rows: str, diff_id: str = "") -> Stacked:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for row in rows:
            name, _, target = row.partition(" ")
            entry = tarfile.TarInfo(name.rstrip("/"))
            kind, _, value = target.partition(" ")
            entry.type = {"->": tarfile.SYMTYPE, "=": tarfile.LNKTYPE, "!": tarfile.CHRTYPE}.get(
                kind, tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            )
            entry.mode, entry.linkname, entry.devmajor, entry.devminor = 0o755, value, 1, 8
            content = target.encode() if entry.isreg() else b""
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    raw = out.getvalue()
    path = folder / f"{len(list(folder.iterdir()))}.tar.gz"
    path.write_bytes(gzip.compress(raw))
    layer = Layer("0" * 64, diff_id or hashlib.sha256(raw).hexdigest(), path.stat().st_size, len(raw), 0)
    return Stacked(layer, path, "somebody's")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "root"
    found.mkdir()
    yield found


def unpack(root: Path, *layers: Stacked) -> list[str]:
    for one in layers:
        tree.extract(one, root, keep_owners=False, verify=True)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir())


@pytest.mark.parametrize(("lower", "upper", "left"), [
    (("a/b x", "a/c x"), ("a/.wh.b",), ["a/c"]), (("a/b/c x",), ("a/.wh.b",), []),
    (("a/b x",), ("a/.wh.b", "a/b new"), ["a/b"]), (("a/b x",), ("a/b new", "a/.wh.b"), ["a/b"]),
    (("a/b x", "a/c/d x"), ("a/.wh..wh..opq", "a/e x"), ["a/e"]), (("a/b x",), ("a/e x", "a/.wh..wh..opq"), ["a/e"]),
    (("d/", "d/a x"), ("d file",), ["d"]), (("d/", "d/a x"), ("d -> e",), ["d"]), (("d file",), ("d/", "d/a x"), ["d/a"]),
    (("d/", "d/a x"), (".wh.d", "d/.wh.a"), []), (("a x",), ("b = a",), ["a", "b"]),
    (("dev/null !", "opt/disk !", "dev/x y"), ("a x",), ["a"]), (("lib -> usr/lib", "usr/lib/"), ("lib/a x",), ["lib", "usr/lib/a"]),
])  # fmt: skip
def test_layers_above_each_other(
    root: Path, tmp_path: Path, lower: tuple[str, ...], upper: tuple[str, ...], left: list[str]
) -> None:
    assert unpack(root, stacked(tmp_path, *lower), stacked(tmp_path, *upper)) == left


def test_a_new_file_is_new_though_its_name_was_gone(root: Path, tmp_path: Path) -> None:
    unpack(root, stacked(tmp_path, "a/b old"), stacked(tmp_path, "a/b new", "a/.wh.b"))
    assert (root / "a/b").read_text() == "new"


def test_no_link_leads_out(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "keep").write_text("mine")
    layers = [stacked(tmp_path, f"x -> {victim}"), stacked(tmp_path, "x/keep overwritten", "x/new pwned")]
    with contextlib.suppress(Error):  # the link leads nowhere in the root
        unpack(root, *layers)
    assert [path.name for path in victim.iterdir()] == ["keep"] and (victim / "keep").read_text() == "mine"


@pytest.mark.parametrize(
    "rows", [("../a x",), ("a/../../b x",), (".wh.",), (".wh...",), ("a/.wh..",), ("a = ../../etc/passwd",)]
)
def test_names_that_lead_out_are_refused(root: Path, tmp_path: Path, rows: tuple[str, ...]) -> None:
    (tmp_path / "beside").write_text("mine")
    with pytest.raises(Surroundings) as caught:
        unpack(root, stacked(tmp_path, "a/z x"), stacked(tmp_path, *rows))
    assert "Traceback" not in str(caught.value.details) and (tmp_path / "beside").read_text() == "mine"


def test_a_layer_that_is_another_than_the_image_says(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Error, match="is damaged"):
        unpack(root, stacked(tmp_path, "a x", diff_id="0" * 64))
    broken = stacked(tmp_path, "a x")
    broken.path.write_bytes(b"no gzip at all")
    with pytest.raises(Error, match="is damaged"):
        unpack(root, broken)
    cut = stacked(tmp_path, "a " + os.urandom(5000).hex())
    cut.path.write_bytes(cut.path.read_bytes()[:2000])
    with pytest.raises(Error):
        unpack(root, cut)


def test_capabilities_of_a_file(root: Path, tmp_path: Path) -> None:
    """Of users of one's own they are told with the owner of these users: the two words of them are compared."""
    value, out = bytes.fromhex("0100000280040000" + "00" * 12), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("ping")
        entry.pax_headers = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
        archive.addfile(entry)
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(gzip.compress(out.getvalue()))
    layer = Layer("0" * 64, "0" * 64, path.stat().st_size, len(out.getvalue()), 1)
    tree.extract(Stacked(layer, path, "somebody's"), root, keep_owners=True)
    assert os.getxattr(root / "ping", "security.capability")[4:20] == value[4:20]
