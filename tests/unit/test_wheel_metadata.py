"""METADATA of a large wheel on an index of each kind: how it is found, how much is read, and who is not believed."""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imagekit import index
from imagekit import site as sites
from imagekit.errors import Surroundings
from imagekit.refresh import metadata
from imagekit.refresh.metadata import Metadata, Unreadable

FILE = "torch-9.9.0-cp313-cp313-manylinux_2_28_x86_64.whl"
SAID = """Metadata-Version: 2.4
Name: torch
Version: 9.9.0
Requires-Python: >=3.13
Requires-Dist: nvidia-cudnn-cu13==9.26.0.51; platform_system == "Linux"
Requires-Dist: triton~=3.9.0; platform_system == "Linux"
Requires-Dist: optree>=0.13.0; extra == "optree"

What it is.
"""


def wheel(said: str = SAID, first: bool = False, method: int = zipfile.ZIP_DEFLATED, files: int = 13_000) -> bytes:
    """As many files as torch has: the directory alone is larger than all that may be read."""
    buffer = io.BytesIO()
    entries = [
        (f"torch/include/ATen/ops/an_operator_with_a_long_name_as_they_all_have_{n:05}.h", "") for n in range(files)
    ]
    own = [("torch-9.9.0.dist-info/METADATA", said), ("torch-9.9.0.dist-info/RECORD", "x" * 50_000)]
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in [*own, *entries] if first else [*entries, *own]:
            archive.writestr(name, text)
    return buffer.getvalue()


class Sent:
    """What a server sent: bytes of bodies, and the ranges it was asked for."""

    def __init__(self) -> None:
        self.bytes = 0
        self.ranges: list[str] = []


@contextlib.contextmanager
def serving(
    content: bytes, page: str, kind: str = "text/html", ranges: bool = True, said: str = ""
) -> Iterator[tuple[str, Sent]]:
    sent = Sent()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, code = {"/torch/": page.encode(), f"/{FILE}.metadata": said.encode()}.get(self.path, content), 200
            asked = self.headers.get("Range", "")
            if ranges and body is content and asked:
                sent.ranges.append(asked)
                first, last = re.fullmatch(r"bytes=(\d*)-(\d+)", asked).groups()  # type: ignore[union-attr]
                body, code = body[int(first) : int(last) + 1] if first else body[-int(last) :], 206
            self.send_response(code)
            self.send_header("Content-Type", kind if self.path == "/torch/" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for start in range(0, len(body), 1 << 14):
                try:
                    self.wfile.write(body[start : start + (1 << 14)])
                except OSError:  # who asked has read enough
                    return
                sent.bytes += len(body[start : start + (1 << 14)])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as own:
        threading.Thread(target=own.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{own.server_port}", sent
        finally:
            own.shutdown()


PAGE = f'<a href="/{FILE}#sha256=0" data-requires-python="&gt;=3.13">{FILE}</a>'


def read(url: str) -> Metadata:
    the_site = sites.load(None, {"UV_DEFAULT_INDEX": url})
    with index.session() as own:
        (listed,) = index.files(the_site, "pypi", "", "torch", own)
        return metadata.read(the_site, "pypi", "", "torch", listed, own)


@pytest.mark.parametrize("first", [False, True], ids=["at the end", "first of all"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_less_than_a_megabyte_of_a_wheel_is_read(first: bool, method: int) -> None:
    content = wheel(first=first, method=method)
    assert len(content) > 2 * metadata.LIMIT
    with serving(content, PAGE) as (url, sent):
        found = read(url)
    assert found.version == "9.9.0"
    assert found.requires_python == ">=3.13"
    assert found.pin(r"nvidia-cudnn.*") == "9.26.0.51"
    assert str(found.needs("triton")) == 'triton~=3.9.0; platform_system == "Linux"'
    assert found.needs("optree") is None, "what only an extra asks for"
    assert found.pin("triton") is None, "no exact pin"
    assert sent.bytes < metadata.LIMIT / 2
    assert len(sent.ranges) in (2, 3)


def test_a_file_beside_the_wheel_is_enough() -> None:
    page = PAGE.replace("<a ", '<a data-core-metadata="sha256=0" ')
    with serving(b"no wheel at all", page, said=SAID) as (url, sent):
        assert read(url).version == "9.9.0"
        assert sent.ranges == []


def test_a_page_in_json() -> None:
    file = {
        "filename": FILE,
        "url": f"/{FILE}",
        "hashes": {},
        "core-metadata": True,
        "upload-time": "2026-10-28T15:20:33Z",
    }
    page = json.dumps({"meta": {"api-version": "1.1"}, "name": "torch", "files": [file]})
    with serving(b"", page, "application/vnd.pypi.simple.v1+json", said=SAID) as (url, _):
        the_site = sites.load(None, {"UV_DEFAULT_INDEX": url})
        (listed,) = index.files(the_site, "pypi", "", "torch")
        assert (listed.name, listed.uploaded, listed.metadata) == (FILE, "2026-10-28", True)
        assert read(url).version == "9.9.0"


@pytest.mark.parametrize("page", ["{", "[]", '{"files": 1}', '{"files": [{"filename": "x"}]}'])
def test_a_damaged_page_in_json(page: str) -> None:
    with (
        serving(b"", page, "application/vnd.pypi.simple.v1+json") as (url, _),
        pytest.raises(Surroundings, match="answers for torch with a damaged page"),
    ):
        read(url)


def test_an_index_that_sends_whole_files_sends_no_large_one() -> None:
    with serving(wheel(), PAGE, ranges=False) as (url, sent), pytest.raises(Surroundings, match="sends no parts"):
        read(url)
    # what lay in the buffers between
    assert sent.bytes < metadata.LIMIT * 8


def test_a_small_wheel_is_read_from_an_index_that_sends_whole_files() -> None:
    with serving(wheel(files=5), PAGE, ranges=False) as (url, _):
        assert read(url).version == "9.9.0"


def _other_crc(content: bytes) -> bytes:
    """One byte of METADATA changed, which the directory does not know."""
    place = content.index(b"Requires-Python")
    return content[:place] + b"r" + content[place + 1 :]


def _nothing_at_the_end(content: bytes) -> bytes:
    return content[: len(content) // 3]


@pytest.mark.parametrize(
    "damage", [_other_crc, _nothing_at_the_end, lambda _: b"\0" * 5_000_000, lambda _: b"PK\x01\x02" * 9]
)
def test_a_damaged_wheel(damage: Callable[[bytes], bytes]) -> None:
    content = damage(wheel(method=zipfile.ZIP_STORED))
    with serving(content, PAGE) as (url, sent):
        with pytest.raises(Unreadable, match="METADATA is at neither end"):
            read(url)
        assert sent.bytes < 2 * metadata.LIMIT


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SAID.replace("Name: torch", "Name: torchx"), "says that it is torchx 9.9.0"),
        (SAID.replace("Version: 9.9.0", "Version: 9.9.1"), "says that it is torch 9.9.1"),
        ("<html>please log in</html>", "says that it is nothing"),
        ("", "says that it is nothing"),
        (SAID.replace("triton~=3.9.0", "triton~~3"), "is damaged"),
        (SAID.replace(">=3.13", "=>3.13"), "is damaged"),
    ],
)
def test_metadata_that_cannot_be_true(said: str, why: str) -> None:
    with serving(wheel(said, files=3), PAGE) as (url, _), pytest.raises(Unreadable, match=why):
        read(url)


def test_metadata_that_unpacks_to_too_much() -> None:
    """A bomb: 100 MB out of 100 kB."""
    with (
        serving(wheel(SAID + "x" * 90_000_000, files=3), PAGE) as (url, _),
        pytest.raises(Unreadable, match="neither end"),
    ):
        read(url)


def test_a_page_of_the_web_names_no_file_of_this_machine() -> None:
    links = [
        "file:///dev/zero", "file:///a%00b.whl", "http://[::1/x.whl", "http://127.0.0.1:99999/x.whl", "http://h:abc/x.whl",
        "javascript:x.whl", "http://bob:s3cret@ho\N{CARE OF}st/x.whl",
    ]  # fmt: skip
    page = "".join(f'<a href="{link}">{FILE}</a>' for link in links) + PAGE
    with serving(wheel(files=3), page) as (url, _):
        assert read(url).version == "9.9.0", "the one that is left"
    listed = [{"filename": FILE, "url": link} for link in links]
    with (
        serving(b"", json.dumps({"files": listed}), "application/vnd.pypi.simple.v1+json") as (url, _),
        pytest.raises(Surroundings, match="lists no files"),
    ):
        read(url)


def test_a_page_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PAGE", 1_000_000)
    with serving(b"", "x" * 3_000_000) as (url, _), pytest.raises(Surroundings, match="sends more than 1 MB"):
        read(url)
    deep = "[" * 200_000
    with (
        serving(b"", deep, "application/vnd.pypi.simple.v1+json") as (url, _),
        pytest.raises(Surroundings, match="damaged page"),
    ):
        read(url)


def test_a_zip_of_many_entries_is_not_asked_about_all_of_them() -> None:
    entry = metadata._ENTRY.pack(b"PK\x01\x02", 0, 0, 0, 0, 0, 0, 1, 10, 10, 20, 0, 0, 0, 0, 0, 0)
    with serving((entry + b"a.dist-info/METADATA") * 1900, PAGE) as (url, sent):
        with pytest.raises(Unreadable, match="neither end"):
            read(url)
        assert len(sent.ranges) < 10


def test_a_missing_file_beside_one_wheel_is_that_wheels_trouble() -> None:
    page = PAGE.replace("<a ", '<a data-core-metadata="true" ').replace(
        FILE, "torch-9.9.1-cp313-cp313-linux_x86_64.whl"
    )
    with serving(b"", page) as (url, _), pytest.raises(Unreadable, match=r"torch-9\.9\.1"):
        read(url)
