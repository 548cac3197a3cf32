"""An index that is busy for a moment, and a file that breaks off."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import ClassVar

import pytest
import samples
import standins
from samples import folder_server, server
from urllib3 import HTTPResponse

from imagekit import index, index_session
from imagekit import site as sites
from imagekit.errors import Surroundings

MB = 2**20
"""What is read at a time: of what breaks off sooner nothing is kept."""

SIX = standins.Wheel("six", "1.0")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_session, "PAUSE", 0.0)


def six(url: str) -> bytes:
    the_site = sites.load(None, {"UV_DEFAULT_INDEX": url})
    return index.get(the_site, "pypi", index.find(the_site, "pypi", "", "six", SIX.file))


def test_an_index_that_fails_for_a_moment(tmp_path: Path) -> None:
    """As many failures as are put up with, and one more."""
    standins.index(tmp_path, [SIX])
    good, asked = folder_server(tmp_path), []

    def answer(path: str) -> tuple[int, bytes]:
        asked.append(path)
        return (503, b"a moment") if len(asked) <= failures else good(path)

    for failures in (index_session.RETRIES, index_session.RETRIES + 1):
        asked.clear()
        with server(answer) as url, contextlib.ExitStack() as expected:
            if failures > index_session.RETRIES:
                expected.enter_context(pytest.raises(Surroundings, match=r"the index pypi fails \(503\)"))
            assert six(f"{url}/simple") == SIX.content()


def test_a_reply_that_asks_to_wait_for_an_hour() -> None:
    """Retry-After, in seconds: half a minute at most."""
    retry = index_session.session().get_adapter("https://").max_retries  # type: ignore[attr-defined]
    for told, waited in (("3600", 30), ("2", 2)):
        assert retry.get_retry_after(HTTPResponse(headers={"Retry-After": told}, status=503)) == waited
    assert retry.get_retry_after(HTTPResponse(status=503)) is None


class Breaking(samples.Silent):
    """Breaks a file off after a MB, and one more at each request that asks for no part; knows Range or does not."""

    content = bytes(range(256)) * 4096 * 4
    knows_range = True
    lengths: ClassVar[list[int]] = []
    """Of what was asked for, in order."""

    def do_GET(self) -> None:
        span = self.headers.get("Range", "") if self.knows_range else ""
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        self.lengths.append(len(self.content) - start)
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        size = (MB + 1000) * (1 if self.knows_range else len(self.lengths))
        self.wfile.write(self.content[start : start + size])


@pytest.mark.parametrize(("knows_range", "lengths"), [(True, [4 * MB, 3 * MB, 2 * MB, MB]), (False, [4 * MB] * 4)])
def test_a_file_that_breaks_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_range: bool, lengths: list[int]
) -> None:
    monkeypatch.setattr(Breaking, "knows_range", knows_range)
    monkeypatch.setattr(Breaking, "lengths", [])
    with samples.listening(Breaking) as url, (tmp_path / "file").open("w+b") as out:
        index.download(sites.load(None, {}), "pypi", f"{url}/six.whl", out)
        out.seek(0)
        assert out.read() == Breaking.content
    assert Breaking.lengths == lengths


def test_a_file_that_breaks_off_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaking, "content", bytes(100 * MB))
    monkeypatch.setattr(Breaking, "lengths", [])
    with (
        samples.listening(Breaking) as url,
        (tmp_path / "file").open("w+b") as out,
        pytest.raises(Surroundings, match="pypi broke off in the middle of a file"),
    ):
        index.download(sites.load(None, {}), "pypi", f"{url}/six.whl", out)
    assert len(Breaking.lengths) == index_session.RETRIES + 1
