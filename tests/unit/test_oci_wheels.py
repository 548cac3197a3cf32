"""wheel -> files -> layer: what an installer would place, the same bytes everywhere, and wheels that are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from wheels_made import INFO, METADATA, WHEEL, digest, info, record, wheel

from imagekit.errors import BuildFailed
from imagekit.oci import installed, layer
from imagekit.oci.archive import members
from imagekit.oci.layer import Layer

SITE = "opt/venv/lib/python/site-packages"
GOOD = {"demo/__init__.py": b"x = 1\n", "demo/data.bin": bytes(range(256)) * 300, "demo/empty.py": b""}


def convert(path: Path, python: str = "3.11") -> tuple[Layer, bytes]:
    out = io.BytesIO()
    made = layer.write(out, layer.entries(installed.files(path, python)))
    return made, out.getvalue()


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> (mode, content) of the files; what is asserted on the way holds for every layer."""
    made, blob = convert(path)
    raw = gzip.decompress(blob)
    assert (made.digest, made.size) == (hashlib.sha256(blob).hexdigest(), len(blob))
    assert (made.diff_id, made.unpacked) == (hashlib.sha256(raw).hexdigest(), len(raw))
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        assert len(set(names)) == len(names)
        for number, member in enumerate(members):
            above = member.name.rpartition("/")[0]
            assert not above or names.index(above) < number
            assert (member.uid, member.gid, member.mtime) == (0, 0, 1735689600)
            assert not member.isdir() or member.mode == 0o755
        files = [member for member in members if member.isreg()]
        assert made.files == len(files)
        return {member.name: (member.mode, archive.extractfile(member).read()) for member in files}  # type: ignore[union-attr]


@pytest.mark.parametrize("stored", [True, False])
def test_files_are_where_an_installer_puts_them(tmp_path: Path, stored: bool) -> None:
    files = {
        **GOOD, "demo-1.0.data/purelib/pure.py": b"p\n", "demo-1.0.data/platlib/plat.py": b"q\n",
        "demo-1.0.data/scripts/run.py": b"#!python -u\nprint(1)\n", "demo-1.0.data/scripts/tool": b"#!/bin/sh\n",
        "demo-1.0.data/headers/d.h": b"int d;\n", "demo-1.0.data/data/share/z.txt": b"z", "demo.pth": b"import demo\n",
    }  # fmt: skip
    points = (
        b"[console_scripts]\ndemo = demo:main\nDemo.2=demo.x:a.b [extra]\n[gui_scripts]\ng = demo:gui\n[other]\na = b\n"
    )
    found = tree(wheel(tmp_path, files, executable=["demo/data.bin"], stored=stored, **{"entry_points.txt": points}))
    place = {path: mode for path, (mode, _) in found.items()}
    assert place == {
        f"{SITE}/demo/__init__.py": 0o644, f"{SITE}/demo/data.bin": 0o755, f"{SITE}/demo/empty.py": 0o644,
        f"{SITE}/pure.py": 0o644, f"{SITE}/plat.py": 0o644, f"{SITE}/demo.pth": 0o644,
        "opt/venv/bin/run.py": 0o755, "opt/venv/bin/tool": 0o755, "opt/venv/share/z.txt": 0o644,
        "opt/venv/include/site/python3.11/demo/d.h": 0o644,
        "opt/venv/bin/demo": 0o755, "opt/venv/bin/Demo.2": 0o755, "opt/venv/bin/g": 0o755,
        **{f"{SITE}/{INFO}/{name}": 0o644 for name in ("INSTALLER", "METADATA", "RECORD", "REQUESTED", "WHEEL", "entry_points.txt")},
    }  # fmt: skip
    assert found["opt/venv/bin/run.py"][1] == b"#!/opt/venv/bin/python\nprint(1)\n"
    script = found["opt/venv/bin/Demo.2"][1].decode()
    assert (
        script.startswith("#!/opt/venv/bin/python\n")
        and "from demo.x import a\n" in script
        and "sys.exit(a.b())" in script
    )
    assert found[f"{SITE}/demo/data.bin"][1] == GOOD["demo/data.bin"]
    lines = found[f"{SITE}/{INFO}/RECORD"][1].decode().splitlines()
    assert lines == sorted(lines) and len(lines) == len(found)
    assert f"{INFO}/RECORD,," in lines and any(line.startswith("../../../bin/demo,sha256=") for line in lines)


DIFF_ID = "2731a722478bbddedd104da683371400bab1188c6525de2eda71774b596cc0a5"
"""Of the layer of GOOD, however its archive is written."""


def test_the_digests_are_what_they_were(tmp_path: Path) -> None:
    """Of stored files: what zipfile compresses here depends on this machine's zlib, what imagekit does to it does not."""
    made, _ = convert(wheel(tmp_path, GOOD, stored=True))
    assert (made.digest, made.diff_id) == (
        "5c3a7ccf3c5421717cedebea0c4de20c30799afcc19d6611fbf8210b4b7a7012",
        DIFF_ID,
    )
    assert convert(wheel(tmp_path, GOOD))[0].diff_id == DIFF_ID


def test_the_bytes_in_the_wheel_are_the_bytes_in_the_layer(tmp_path: Path) -> None:
    path = wheel(tmp_path, GOOD)
    _, blob = convert(path)
    with zipfile.ZipFile(path) as archive:
        big = archive.getinfo("demo/data.bin")
    start = big.header_offset + 30 + len(big.filename)
    assert path.read_bytes()[start : start + big.compress_size] in blob


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 64, 1000, 2**16, 2**22])
def test_pieces_of_any_size_give_the_same_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, stored: bool
) -> None:
    """What an inflater has taken in may hold more than fits what it gives out at once."""
    noise = random.Random(1).randbytes(5000)
    path = wheel(
        tmp_path, {**GOOD, "demo/zeros": bytes(300_000), "demo/mixed": noise + bytes(70_000) + noise}, stored=stored
    )
    whole = convert(path)
    monkeypatch.setattr(layer, "PIECE", piece)
    assert convert(path) == whole


def test_a_wheel_for_every_python_is_one_layer(tmp_path: Path) -> None:
    path = wheel(tmp_path, GOOD)
    assert convert(path, "3.11") == convert(path, "3.13")


def test_the_order_in_the_archive_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = convert(wheel(tmp_path / "a", GOOD, stored=True))
    two = convert(wheel(tmp_path / "b", dict(reversed(GOOD.items())), stored=True))
    assert one == two


def hostile(folder: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A wheel whose RECORD knows of everything that `change` did."""
    files = dict(GOOD)
    change(files)
    return wheel(folder, files)


NAMES = {
    "../../etc/passwd": "`..`", "demo/../../x": "`..`", "/etc/passwd": "absolute", "demo//x": "empty part",
    "./x": "`.`", "demo\\x.py": "backslash", "demo/.wh.x.py": ".wh.", ".wh..wh..opq": ".wh.", "demo/" + "x" * 256: "255",
    "/".join(["d" * 200] * 20): "3800",
}  # fmt: skip


@pytest.mark.parametrize(("name", "says"), NAMES.items(), ids=[name[:20] for name in NAMES])
def test_names_that_are_refused(tmp_path: Path, name: str, says: str) -> None:
    path = hostile(tmp_path, lambda files: files.update({name: b"x"}))
    with pytest.raises(BuildFailed, match="cannot be made a layer") as caught:
        installed.files(path, "3.11")
    assert says in str(caught.value.details) and len(str(caught.value)) < 2000


ODD = {
    "demo/" + "x" * 255: "c837d43ea70a09485b9a63adc7e7410cdae1fba8e4a38fff456c9283a29680f1",
    "demo/\u4f60\u597d.py": "b564184dab14d12f907913c4bcff80bc346b7eecc382bc5243e831b41650fd38",
    "d" * 100 + "/" + "e" * 150: "08daa0804292abb14bddcc1b987fe6aa883535942a68e198211ab74a6963abf3",
    "demo/a b.py": "251b9bfd3907743fb697e65cd934cf1ea7c1fba376a8c0114cac5572dfb9fdac",
    "demo/new\nline.py": "675a143560d8ddb6143ee9765b4d4de66b632debbf67dc454e58694f074c0fe1",
    "demo/.wh": "1c49d7d3fb0561bdb9c0ca1aa2e122748d89a39024f3460a07816ff743b22d70",
    "demo/ ": "41a727f83cd79d298a6917821114250b2cfb2231020071cb410769fda5713182",
    "demo/-rf": "2d154cb9599746e9d63c90e4b112ab98d88d9f450ca27545382e02426404a48b",
    "demo/" + "\u00e9" * 127: "b3ef543407d6133277e5c69a4b79815a1c80f25eab65d861ea452869ce2b5c03",
    "/".join(["deep"] * 60): "a7cf5a977eeeedeeea934a17655ed238d3e7c65ec0af845dacdcdb6166b9893f",
}
"""Name -> diff_id."""


@pytest.mark.parametrize(("name", "diff_id"), ODD.items(), ids=[repr(name)[:20] for name in ODD])
def test_names_that_are_only_odd(tmp_path: Path, name: str, diff_id: str) -> None:
    path = (
        hostile(tmp_path, lambda files: files.update({name: b"odd"})) if "\n" not in name else _quoted(tmp_path, name)
    )
    assert tree(path)[f"{SITE}/{name}"][1] == b"odd"
    assert convert(path)[0].diff_id == diff_id


def _quoted(folder: Path, name: str) -> Path:
    """A name that RECORD, a CSV file, has to quote."""
    text = record({**GOOD, f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL}).decode()
    row = record({"x": b"odd"}).decode().splitlines()[0].removeprefix("x")
    return wheel(folder, {**GOOD, name: b"odd"}, RECORD=(text + f'"{name}"{row}\n').encode())


def added(path: Path, made: zipfile.ZipInfo, data: bytes) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(made, data)
    return path


def test_a_symbolic_link(tmp_path: Path) -> None:
    path = added(wheel(tmp_path, GOOD), info("demo/link", 0o120777), b"/etc/passwd")
    with pytest.raises(BuildFailed, match="symbolic link"):
        installed.files(path, "3.11")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice(tmp_path: Path) -> None:
    path = added(wheel(tmp_path, GOOD), info("demo/__init__.py"), b"import os\n")
    with pytest.raises(BuildFailed, match="2 times"):
        installed.files(path, "3.11")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_in_another_way(tmp_path: Path, method: int) -> None:
    path = added(wheel(tmp_path, GOOD), info("demo/x", method=method), b"x" * 100)
    with pytest.raises(BuildFailed, match="compressed by method"):
        installed.files(path, "3.11")


def patched(path: Path, change: Callable[[bytearray, int, int], None], name: bytes = b"demo/data.bin") -> Path:
    """Change the bytes of an archive: `change` gets them, and the places of a member's local and central header."""
    data = bytearray(path.read_bytes())
    local = data.index(b"PK\x03\x04", data.index(name) - 30)
    central = data.rindex(name) - 46
    change(data, local, central)
    path.write_bytes(data)
    return path


def _crc(data: bytearray, local: int, central: int) -> None:
    data[central + 16] ^= 1


def _size(data: bytearray, local: int, central: int) -> None:
    data[central + 24] ^= 1


def _method(data: bytearray, local: int, central: int) -> None:
    data[local + 8] = 0


def _renamed(data: bytearray, local: int, central: int) -> None:
    data[local + 30] = ord("D")


def _encrypted(data: bytearray, local: int, central: int) -> None:
    data[local + 6] |= 1
    data[central + 8] |= 1


def _stream(data: bytearray, local: int, central: int) -> None:
    data[local + 30 + len(b"demo/data.bin")] ^= 0xFF


def _shorter(data: bytearray, local: int, central: int) -> None:
    (size,) = struct.unpack_from("<I", data, central + 20)
    struct.pack_into("<I", data, central + 20, size - 5)


def _longer(data: bytearray, local: int, central: int) -> None:
    """Its bytes reach into the next member: small archives that become large trees are made so."""
    struct.pack_into("<I", data, central + 20, 10_000_000)


def _moved(data: bytearray, local: int, central: int) -> None:
    struct.pack_into("<I", data, central + 42, 7)


@pytest.mark.parametrize("change", [_crc, _size, _method, _renamed, _encrypted, _stream, _shorter, _longer, _moved])
def test_an_archive_that_lies(tmp_path: Path, change: Callable[[bytearray, int, int], None]) -> None:
    path = patched(wheel(tmp_path, GOOD), change)
    with pytest.raises(BuildFailed, match="cannot be made a layer"):
        convert(path)


def test_a_bomb_is_read_no_further_than_it_says(tmp_path: Path) -> None:
    """256 MB of zeros in 256 kB, said to be a thousand bytes."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(stream.compress(bytes(2**24)) for _ in range(16)) + stream.flush()
    path = wheel(tmp_path, {**GOOD, "demo/bomb": bytes(1000)})

    def replace(data: bytearray, local: int, central: int) -> None:
        (old,) = struct.unpack_from("<I", data, central + 20)
        start = local + 30 + len(b"demo/bomb")
        data[start : start + old] = packed
        grown = len(packed) - old
        central += grown
        struct.pack_into("<I", data, central + 20, len(packed))
        for at in range(len(data) - 46):
            if data[at : at + 4] == b"PK\x01\x02" and struct.unpack_from("<I", data, at + 42)[0] > local:
                struct.pack_into("<I", data, at + 42, struct.unpack_from("<I", data, at + 42)[0] + grown)
        end = data.rindex(b"PK\x05\x06")
        struct.pack_into("<I", data, end + 16, struct.unpack_from("<I", data, end + 16)[0] + grown)

    patched(path, replace, b"demo/bomb")
    with pytest.raises(BuildFailed, match="not what the archive's directory says"):
        convert(path)


def test_bytes_after_the_end_of_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be a member of the gzip of their own, and files of the layer that its digest does not tell of."""
    path = wheel(tmp_path, {**GOOD, "demo/small": b"s" * 10})
    smuggled = gzip.compress(b"x" * 100)

    def longer(data: bytearray, local: int, central: int) -> None:
        (old,) = struct.unpack_from("<I", data, central + 20)
        end = local + 30 + len(b"demo/small") + old
        data[end:end] = smuggled
        struct.pack_into("<I", data, central + len(smuggled) + 20, old + len(smuggled))
        for at in range(len(data) - 46):
            if data[at : at + 4] == b"PK\x01\x02" and struct.unpack_from("<I", data, at + 42)[0] > local:
                struct.pack_into("<I", data, at + 42, struct.unpack_from("<I", data, at + 42)[0] + len(smuggled))
        tail = data.rindex(b"PK\x05\x06")
        struct.pack_into("<I", data, tail + 16, struct.unpack_from("<I", data, tail + 16)[0] + len(smuggled))

    patched(path, longer, b"demo/small")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None, "others see nothing wrong"
    (own,) = (member.compressed for member in members(path) if member.name == "demo/small")
    for piece in (own - len(smuggled), 1, 2**17):
        monkeypatch.setattr(layer, "PIECE", piece)
        with pytest.raises(BuildFailed, match="cannot be made a layer"):
            convert(path)


def test_another_name_in_an_extra_field(tmp_path: Path) -> None:
    """Info-ZIP's Unicode path: Python takes it for the name from 3.12 on."""
    name, other = b"demo/extra.py", b"../../../etc/x"
    entry = info(name.decode())
    entry.extra = struct.pack("<HHBI", 0x7075, 5 + len(other), 1, zlib.crc32(name)) + other
    path = added(wheel(tmp_path, GOOD), entry, b"x")
    if sys.version_info >= (3, 12):
        with pytest.raises(BuildFailed, match="another name"):
            installed.files(path, "3.11")
    else:
        assert not any("etc" in file.path for file in installed.files(path, "3.11"))


def test_an_unrecorded_bomb_is_hashed_in_pieces(tmp_path: Path) -> None:
    path = wheel(tmp_path, {**GOOD, "demo/zeros": bytes(10**8)}, RECORD=b"")
    tracemalloc.start()
    installed.files(path, "3.11")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100), b"PK\x05\x06" + bytes(18) + b"x"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(BuildFailed):
        installed.files(path, "3.11")


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = wheel(tmp_path, GOOD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BuildFailed, match="no zip archive"):
        installed.files(path, "3.11")


@pytest.mark.parametrize(("more", "without", "says"), [
    ({}, ["RECORD"], "RECORD is missing"), ({}, ["WHEEL"], "WHEEL is missing"), ({}, ["METADATA"], "METADATA is missing"),
    ({"WHEEL": b"Wheel-Version: 2.0\n"}, [], "version 2.0"), ({"WHEEL": b""}, [], "version none"),
    ({"entry_points.txt": b"[console_scripts]\nx = demo:main; import os\n"}, [], "x = demo:main; import os"),
    ({"entry_points.txt": b"[console_scripts]\n../../x = demo:main\n"}, [], "../../x"),
    ({"entry_points.txt": b"x = 1\n"}, [], "entry_points.txt"), ({"entry_points.txt": b"[console_scripts]\nx\n"}, [], "x = None"),
    ({"entry_points.txt": b"[console_scripts]\npython3.11 = demo:main\n"}, [], "the interpreter of the image"), ({"entry_points.txt": b"\xff"}, [], "entry_points.txt"),
])  # fmt: skip
def test_metadata_that_is_refused(tmp_path: Path, more: dict[str, bytes], without: list[str], says: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        installed.files(wheel(tmp_path, GOOD, without=without, **more), "3.11")
    assert says in str(caught.value.details)


RECORDED = record({**GOOD, f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL}).decode()


@pytest.mark.parametrize(("text", "says"), [
    ('"' + "x" * 200_000, "RECORD is no table"),
    (RECORDED.replace(",6\n", ",7\n"), "RECORD gives 'demo/__init__.py' 7 bytes, it has 6"),
])  # fmt: skip
def test_a_record_that_lies_of_code(tmp_path: Path, text: str, says: str) -> None:
    assert text != RECORDED
    with pytest.raises(BuildFailed) as caught:
        installed.files(wheel(tmp_path, GOOD, RECORD=text.encode()), "3.11")
    assert says in str(caught.value.details)


@pytest.mark.parametrize("text", [
    "", RECORDED + "demo/gone.pyc,sha256=abc,3\n", RECORDED.replace("sha256=", "md5="), RECORDED.replace(f"METADATA,sha256={digest(METADATA)}", "METADATA,sha256=wrong").replace(f",{len(METADATA)}\n", ",1\n"),
    "\n".join(line.split(",")[0] + ",," for line in RECORDED.splitlines()),
])  # fmt: skip
def test_what_a_record_does_not_tell_is_looked_at(tmp_path: Path, text: str) -> None:
    assert convert(wheel(tmp_path, GOOD, RECORD=text.encode()))[0].diff_id == DIFF_ID


def test_a_wheel_of_another_name(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="holds demo-1.0.dist-info"):
        installed.files(wheel(tmp_path, GOOD, name="other-1.0-py3-none-any.whl"), "3.11")


@pytest.mark.parametrize(("files", "says"), [
    ({"demo-1.0.data/purelib/demo/__init__.py": b"y"}, "two of its files become"),
    ({"demo-1.0.data/data/bin/demo": b"y", "demo-1.0.data/scripts/demo": b"z"}, "two of its files become"),
    ({"demo-1.0.data/data/lib/python3.11/site-packages/x.py": b"y"}, "what the environment is made of"),
    ({"demo-1.0.data/data/pyvenv.cfg": b"y"}, "what the environment is made of"),
    ({"demo-1.0.data/other/x": b"y"}, "nobody knows"), ({"demo-1.0.data/scripts/python": b"y"}, "the interpreter"),
    ({"demo-1.0.data/data/bin/python3.11": b"y"}, "the interpreter"),
    ({f"demo-1.0.data/purelib/{INFO}/RECORD": b"y"}, "two of its files become"), ({"x": b"1", "x/y": b"2"}, "is a file, and the folder of"),
])  # fmt: skip
def test_files_that_cannot_be_placed(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        installed.files(wheel(tmp_path, {**GOOD, **files}), "3.11")
    assert says in str(caught.value.details)


def test_more_than_four_gigabytes_are_told_in_another_way(tmp_path: Path) -> None:
    """zip64: the sizes stand in an extra field. Here they would fit, and some writers use it anyway."""
    path = wheel(tmp_path, GOOD)
    with zipfile.ZipFile(path, "a") as archive, archive.open(info("demo/big.bin"), "w", force_zip64=True) as out:
        out.write(b"big" * 1000)
    text = record({**GOOD, f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL, "demo/big.bin": b"big" * 1000})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.whl", "w") as new:
        for name in old.namelist():
            with new.open(info(name), "w", force_zip64=name == "demo/big.bin") as out:
                out.write(text if name.endswith("/RECORD") else old.read(name))
    (tmp_path / "new.whl").replace(path)
    assert tree(path)[f"{SITE}/demo/big.bin"][1] == b"big" * 1000
    assert convert(path)[0].diff_id == "1a792a416ead0cc4bf6dc8a6ed42c5e6376cadb53ba208f3f9ee325379055fb1"
