"""gzip members and headers of tar: read by others' readers, and always the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.oci import gzip_member, tar
from imagekit.oci.tar import DIRECTORY, EPOCH, LINK, Entry

PIECES = st.one_of(st.binary(max_size=8), st.integers(0, 700).map(bytes), st.sampled_from([b"abc", b"0000644\0"]))


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_a_member_holds_what_was_put_in(data: bytes) -> None:
    assert gzip.decompress(gzip_member.encoded(data)) == data


@pytest.mark.parametrize("run", [*range(4, 20), *range(250, 270), *range(510, 530), 1000, 70_000])
def test_runs_of_zeros_of_every_kind(run: int) -> None:
    data = b"a" + bytes(run) + b"b"
    assert gzip.decompress(gzip_member.encoded(data)) == data


@pytest.mark.parametrize("data", [b"", bytes(200_000), bytes(range(256)) * 2000])
def test_members_of_every_size(data: bytes) -> None:
    assert gzip.decompress(gzip_member.encoded(data)) == data


@given(st.binary(max_size=200_000), st.integers(1, 70_000))
def test_stored_blocks_in_pieces(data: bytes, piece: int) -> None:
    pieces = [data[start : start + piece] for start in range(0, len(data), piece)] or [b""]
    last = len(pieces) - 1
    blocks = b"".join(gzip_member.stored_blocks(part, last=number == last) for number, part in enumerate(pieces))
    assert zlib.decompress(blocks, -zlib.MAX_WBITS) == data


def test_the_bytes_are_what_they_were() -> None:
    """Whoever changes them changes every digest of every layer: raise layer.FORMAT then."""
    text = tar.header(Entry("opt/venv/lib/python/site-packages/six.py", size=34703))
    assert hashlib.sha256(gzip_member.encoded(bytes(300) + text)).hexdigest() == (
        "22d771add5695242c1bc04cfb6801f524b12f61eff921ef113f849fdf6a6c777"
    )


def test_headers_are_those_of_tarfile() -> None:
    theirs = tarfile.TarInfo("opt/venv/six.py")
    theirs.size, theirs.mtime, theirs.mode = 34703, EPOCH, 0o755
    assert tar.header(Entry("opt/venv/six.py", mode=0o755, size=34703)) == theirs.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("entry", [
    Entry("x"), Entry("a" * 100), Entry("a" * 101), Entry("x" * 300), Entry("a/" * 80 + "b" * 99, size=1),
    Entry("p" * 155 + "/" + "n" * 100), Entry("p" * 156 + "/" + "n" * 100), Entry("a/" * 150 + "ccc"),
    Entry("d" * 99, DIRECTORY, 0o755), Entry("d" * 100, DIRECTORY, 0o755), Entry("d" * 155 + "/" + "e" * 99, DIRECTORY, 0o2775),
    Entry("\u00e9/\u4f60\u597d.py", size=3), Entry("l", LINK, 0o777, 0, "x" * 100), Entry("l", LINK, 0o777, 0, "x" * 101),
    Entry("l", LINK, 0o777, 0, "\u00e9"), Entry("big", size=8**11), Entry("big", size=8**11 - 1), Entry("new\nline"),
], ids=lambda entry: f"{entry.path[:12]!r}-{len(entry.path)}-{len(entry.link)}-{entry.size}")  # fmt: skip
def test_any_reader_finds_the_entry(entry: Entry) -> None:
    header = tar.header(entry)
    assert len(header) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(header + tar.END)) as archive:
        found = archive.next()
    assert found and (found.name, found.size, found.mode, found.linkname) == (
        entry.path,
        entry.size,
        entry.mode,
        entry.link,
    )
    assert (found.type, found.mtime, found.uid, found.gid, found.uname) == (entry.type, EPOCH, 0, 0, "")
