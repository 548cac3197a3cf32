"""A package index that is down, lacks a file, serves other bytes, or shows a certificate nobody trusts."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import samples
import standins
from samples import folder_server, server, sha256

from imagekit import cli, index, index_session
from imagekit import site as sites
from imagekit.errors import Error, Surroundings

SIX = standins.Wheel("six", "1.0")
NEEDED = (standins.torch(), SIX, *(standins.Wheel(name, "80.0") for name in ("pip", "setuptools", "uv")))


def download(url: str, package: str, file: str, ca: str) -> bytes:
    """As from a site whose default index is `url`."""
    the_site = sites.load(None, {"UV_DEFAULT_INDEX": url, **({"SSL_CERT_FILE": ca} if ca else {})})
    return index.get(the_site, "pypi", index.find(the_site, "pypi", "", package, file))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_session, "PAUSE", 0.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an index of all that the profile ./mine.yaml needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (
        "SSL_CERT_FILE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "CI",
        "HTTPS_PROXY",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    from importlib.metadata import version

    monkeypatch.setattr("imagekit.site.host._pip_conf", lambda file: ([], []))
    wheels = [*NEEDED[:-1], standins.Wheel("uv", version("uv"))]
    standins.index(tmp_path, wheels)
    (tmp_path / "mine.yaml").write_text('torch: "2.4.1"\ncuda: "12.1"\npython: "3.11"\npackages: [six]\n')
    return tmp_path


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return samples.certificate(tmp_path, "127.0.0.1")


def site(url: str, more: str = "") -> None:
    Path("imagekit.toml").write_text(f'[indexes.pypi]\nurl = "{url}"\n{more}')


def lock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["imagekit", "lock", "./mine.yaml"])
    code = cli.execute()
    return code, capsys.readouterr().err


def test_a_whole_lock_from_a_mirror(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(folder_server(here)) as url:
        site(f"{url}/simple")
        code, err = lock(monkeypatch, capsys)
    assert code == 0, err
    assert len(set(err.splitlines())) == len(err.splitlines()), "nothing is said twice"
    text = (here / "locks/mine/2.4.1-cuda12.1-py311.json").read_text()
    assert "127.0.0.1" not in text and sha256(SIX.content()) in text


def test_a_mirror_behind_a_password(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The host's pip knows user and password; they are used, and are in nothing that is written or shown."""
    with server(folder_server(here), login="me:c4n4ry") as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url.replace('://', '://me:c4n4ry@')}/simple")
        code, err = lock(monkeypatch, capsys)
        assert code == 0, err
        assert "c4n4ry" not in err + (here / "locks/mine/2.4.1-cuda12.1-py311.json").read_text()
        assert download(f"{url.replace('://', '://me:c4n4ry@')}/simple", "six", SIX.file, "") == SIX.content()
        monkeypatch.setenv("PIP_INDEX_URL", f"{url.replace('://', '://me:wr0ng@')}/simple")
        shutil.rmtree(here / "cache")
        shutil.rmtree(here / "locks")
        code, err = lock(monkeypatch, capsys)
        assert code == 4 and "wr0ng" not in err


def test_the_index_is_down(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site(f"http://127.0.0.1:{port}/simple")
    code, err = lock(monkeypatch, capsys)
    assert code == 4 and "the index pypi does not answer" in err and "imagekit site" in err
    assert not (here / "locks").exists()


def test_the_index_fails(here: Path) -> None:
    with (
        server(lambda path: (500, b"out of order")) as url,
        pytest.raises(Surroundings, match=r"the index pypi fails \(500\)"),
    ):
        download(f"{url}/simple", "six", SIX.file, "")


def test_a_package_that_the_index_does_not_have(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(here / "simple/six")
    with server(folder_server(here)) as url:
        site(f"{url}/simple")
        code, err = lock(monkeypatch, capsys)
    assert code == 3 and "no index has a package named six" in err and "spelling" in err


def test_a_certificate_that_nobody_trusts(
    here: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(folder_server(here), certificate) as url:
        site(f"{url}/simple")
        code, err = lock(monkeypatch, capsys)
        assert code == 4 and "certificate is not trusted" in err and "tls.ca" in err
        site(f"{url}/simple", f'[tls]\nca = "{certificate[0]}"\n')
        code, err = lock(monkeypatch, capsys)
        assert code == 0, err


def test_downloading_by_name(here: Path) -> None:
    with server(folder_server(here)) as url:
        for place in (f"{url}/simple", f"{url}/simple/", (here / "simple").as_uri()):
            assert download(place, "six", SIX.file, "") == SIX.content()
            with pytest.raises(Surroundings, match="no longer has six-2.0"):
                download(place, "six", "six-2.0-py3-none-any.whl", "")
            with pytest.raises(Error, match="seven"):
                download(place, "seven", "seven-1-py3-none-any.whl", "")


def test_downloading_from_an_index_that_is_down_or_not_trusted(here: Path, certificate: tuple[Path, Path]) -> None:
    with server(folder_server(here), certificate) as url:
        with pytest.raises(Surroundings, match="SSLError"):
            download(f"{url}/simple", "six", SIX.file, "")
        assert download(f"{url}/simple", "six", SIX.file, str(certificate[0])) == SIX.content()
    with pytest.raises(Surroundings) as error:
        download(f"{url}/simple", "six", SIX.file, "")
    assert "127.0.0.1" not in str(error.value) and "imagekit site" in error.value.hint


# what is wrong with an index: one message each, with a hint, without its host or the login


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, more: str = ""
) -> tuple[int, str]:
    """The exit code and the error of locking from an index at `url`."""
    shutil.rmtree("cache", ignore_errors=True)
    site(f"{url}/simple", more)
    code, err = lock(monkeypatch, capsys)
    message = err[err.index("error: ") :]
    assert "hint: " in message and "Traceback" not in err
    assert "127.0.0.1" not in err and "c4n4ry" not in err
    return code, message


AUTH = 'auth = "env:LOGIN"\n'


def test_an_index_that_asks_for_a_login_or_refuses_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(folder_server(here), login="me:c4n4ry") as url:
        code, err = refused(monkeypatch, capsys, url)
        assert code == 4 and "the index pypi asks for a login (401)" in err and "env:NAME" in err
        monkeypatch.setenv("LOGIN", "me:c4n4ry-old")
        code, err = refused(monkeypatch, capsys, url, AUTH)
        assert code == 4 and "the index pypi refuses the login (401)" in err
        monkeypatch.setenv("LOGIN", "me:c4n4ry")
        site(f"{url}/simple", AUTH)
        code, err = lock(monkeypatch, capsys)
        assert code == 0, err


def test_an_index_that_forbids(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with server(lambda path: (403, b"no entry")) as url:
        code, err = refused(monkeypatch, capsys, url)
    assert code == 4 and "the index pypi forbids this (403)" in err


def test_a_login_page_is_no_index(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = b'<html><form action="/login"><input type="password"></form><a href="/help">Help</a></html>'
    with server(lambda path: (200, page)) as url:
        code, err = refused(monkeypatch, capsys, url)
    assert code == 4 and "a page that lists no files: a login page, perhaps" in err, err


PRIVATE = '[indexes.company]\nurl = "{url}/simple"\nonly = ["six"]\nauth = "env:LOGIN"\n'


def test_a_package_that_the_private_index_does_not_have(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default index has a six; it is not taken, because six belongs to the company's."""
    monkeypatch.setenv("LOGIN", "me:c4n4ry")
    with server(folder_server(here)) as url, server(lambda path: (404, b""), login="me:c4n4ry") as private:
        code, err = refused(monkeypatch, capsys, url, PRIVATE.format(url=private))
    assert code == 3 and "the index company has no package named six" in err and "indexes.company.only" in err


def test_a_private_index_that_serves_other_bytes_than_locked(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGIN", "me:c4n4ry")
    with server(folder_server(here), login="me:c4n4ry") as url:
        site(f"{url}/simple", AUTH + PRIVATE.format(url=url))
        code, err = lock(monkeypatch, capsys)
        assert code == 0, err
        (here / "simple/six" / SIX.file).write_bytes(b"other bytes")
        monkeypatch.setattr(sys, "argv", ["imagekit", "render", "./mine.yaml", "--output", "context"])
        code, err = cli.execute(), capsys.readouterr().err
    assert code == 4 and f"hash mismatch: {SIX.file}" in err and sha256(SIX.content()) in err and "hint: " in err
    assert "127.0.0.1" not in err and "c4n4ry" not in err


def test_a_login_does_not_follow_a_redirect_to_another_host(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To an index that has everything: followed, without the login. To one that wants a login: told as what it is."""
    monkeypatch.setenv("LOGIN", "me:c4n4ry")
    sent: list[str] = []
    with (
        elsewhere(folder_server(here), sent) as other,
        redirecting(other, "me:c4n4ry") as url,
    ):
        site(f"{url}/simple", AUTH)
        code, err = lock(monkeypatch, capsys)
        assert code == 0, err
        assert sent and set(sent) == {""}
    sent.clear()
    with (
        elsewhere(lambda path: (401, b"who are you?"), sent) as other,
        redirecting(other, "me:c4n4ry") as url,
    ):
        shutil.rmtree(here / "locks")
        code, err = refused(monkeypatch, capsys, url, AUTH)
    assert code == 4 and "sends to another host, which answers 401; a login does not follow there" in err
    assert sent and set(sent) == {""}


def redirecting(to: str, login: str) -> contextlib.AbstractContextManager[str]:
    """An index that asks for a login and then sends everybody to another host."""
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}"

    class Handler(samples.Silent):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == wanted
            self.send_response(302 if allowed else 401)
            self.send_header("Location" if allowed else "WWW-Authenticate", f"{to}{self.path}" if allowed else "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    return samples.listening(Handler, "127.0.0.1")


def elsewhere(answer: Callable[[str], samples.Answer], sent: list[str]) -> contextlib.AbstractContextManager[str]:
    """Another host, which notes the login that each request brings."""

    class Handler(samples.Silent):
        def do_GET(self) -> None:
            sent.append(self.headers.get("Authorization", ""))
            code, body = answer(self.path)
            self.send_response(code)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

    return samples.listening(Handler, "127.0.0.2")
