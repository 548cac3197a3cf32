"""Files of a package index by name, in pieces; and what is wrong with an index that gives none.

Every request from this machine goes out here: with the site's CA, proxy and login, and nothing of the environment. A
login is sent to the index's own scheme, host and port only; a redirect elsewhere is followed without it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import requests

from imagekit import index_session
from imagekit.errors import Error, ImpossibleWish, Surroundings
from imagekit.index_page import ACCEPT, Listed, parse
from imagekit.index_session import RETRIES, session
from imagekit.oci.answers import stored_length
from imagekit.site import Site, origin

TIMEOUT = 60
"""Seconds without a byte."""

PAGE = 100_000_000
"""Bytes of a page, unpacked: the largest that are known have a quarter of it."""


class NoAnswer(Surroundings):
    """Nothing came from the index at all: what is asked next will not come either."""


def find(site: Site, name: str, variant: str, package: str, file: str) -> str:
    """The URL of `file` of `package` in the index `name`. Raises Surroundings."""
    for listed in files(site, name, variant, package):
        if listed.name == file:
            return listed.url
    raise Surroundings(f"the index {name} no longer has {file}", hint="lock again, or restore the file")


def download(site: Site, name: str, url: str, out: IO[bytes], variant: str = "") -> None:
    """The bytes at a URL of the index `name` into `out`, an empty file, in pieces. Raises Surroundings.

    What breaks off goes on where it was, where the server can send a part (RFC 9110, Range), else from its start. The
    caller checks the hash.
    """
    if url.startswith("file:"):
        out.write(get(site, name, url))
        return
    whole = 0  # its bytes, where the server says so and sends the file as it is
    with session() as own:
        for tried in range(RETRIES + 1):
            here = out.tell()
            span = f"{here}-" if here < whole else ""
            with _ask(site, name, url, variant, "GET", own, stream=True, span=span) as answer:
                if not (span and answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")):
                    out.seek(0)
                    out.truncate()
                    whole = stored_length(answer)
                try:
                    for block in answer.iter_content(1 << 20):
                        out.write(block)
                except requests.RequestException as error:
                    if tried == RETRIES:
                        what = f"the index {name} broke off in the middle of a file ({type(error).__name__})"
                        hint = "try again; what is already in the wheel store stays there"
                        raise Surroundings(what, hint=hint) from None
                else:
                    return
            time.sleep(index_session.PAUSE * 2**tried)


def get(site: Site, name: str, url: str, variant: str = "") -> bytes:
    """The bytes at a URL (http, https, file) of the index `name`. Raises Surroundings without naming the host."""
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        try:
            return path.read_bytes()
        except OSError as error:
            raise Surroundings(f"a local index has no {path.name}: {error.strerror}") from None
    with session() as own:
        return _ask(site, name, url, variant, "GET", own).content


def size(site: Site, name: str, url: str, variant: str, own: requests.Session) -> int:
    """The size in bytes of a file of an index, 0 where it does not say; nothing is downloaded. Raises Surroundings."""
    return int(_ask(site, name, url, variant, "HEAD", own).headers.get("Content-Length", 0))


def trouble(site: Site, name: str, variant: str, package: str) -> Error | None:
    """Why the index `name` gives nothing for a package that a resolver did not get; None when its page is fine.

    uv takes a refused login and a login page for an index that does not have the package, so the page is asked once
    more, by ourselves.
    """
    try:
        files(site, name, variant, package)
    except Error as error:
        return error
    return None


def reachable(site: Site, name: str, variant: str, package: str, timeout: float) -> Error | None:
    """Why the index `name` cannot be used now; None when it answers. Asked once, with `timeout` seconds of patience.

    Without a `package` the index itself is asked: then a 404 is an answer, because an index need not list its packages.
    """
    with session(retries=0) as own:
        try:
            if package:
                files(site, name, variant, package, own, timeout)
                return None
            url = f"{site.bare_url(name, variant).rstrip('/')}/"
            if not url.startswith("file:"):
                _ask(site, name, url, variant, "HEAD", own, missing="any package", timeout=timeout)
            elif not Path(unquote(urlsplit(url).path)).is_dir():
                return Surroundings(f"the index {name} is no folder", hint="imagekit site shows the indexes")
        except ImpossibleWish as error:
            return error if package else None
        except Error as error:
            return error
    return None


def files(
    site: Site, name: str, variant: str, package: str, own: requests.Session | None = None, timeout: float = TIMEOUT
) -> list[Listed]:
    """The files of a package's page. Raises Surroundings, or ImpossibleWish where the index has no such package."""
    url = f"{site.bare_url(name, variant).rstrip('/')}/{package}/"
    if url.startswith("file:"):
        if not Path(unquote(urlsplit(url).path)).is_dir():
            raise _missing(site, name, package)
        return parse(get(site, name, url + "index.html").decode(errors="replace"), "text/html", url)
    with (
        own or session() as one,
        _ask(
            site, name, url, variant, "GET", one, missing=package, timeout=timeout, accept=ACCEPT, stream=True
        ) as answer,
    ):
        text = _bounded(answer, name, PAGE).decode(errors="replace")
    try:
        found = parse(text, answer.headers.get("Content-Type", ""), answer.url)
    except ValueError as error:
        raise Surroundings(f"the index {name} answers for {package} with a damaged page: {error}") from None
    if not found:
        raise Surroundings(
            f"the index {name} answers for {package} with a page that lists no files: a login page, perhaps",
            hint=f"open it in a browser; [indexes.{name}] needs the URL of a simple index (PEP 503)",
        )
    return found


def part(site: Site, name: str, url: str, variant: str, span: str, own: requests.Session, limit: int) -> bytes:
    """Some bytes of a file of an index, as a Range header names them ("0-99", "-65536" is its end), `limit` at most.

    An index that sends whole files only is asked for one of up to `limit` bytes, and nothing is read of a larger one:
    Surroundings, as for every other trouble.
    """
    first, _, last = span.partition("-")
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        try:
            with path.open("rb") as file:
                file.seek(int(first) if first else max(0, file.seek(0, 2) - int(last)))
                return file.read(min(limit, int(last) - int(first) + 1) if first else min(limit, int(last)))
        except OSError as error:
            raise Surroundings(f"a local index has no {path.name}: {error.strerror}") from None
    with _ask(site, name, url, variant, "GET", own, stream=True, span=span) as answer:
        size = answer.headers.get("Content-Length", "")
        if answer.status_code == 206:
            return _bounded(answer, name, limit)
        if not size.isdecimal() or len(size) > 9 or int(size) > limit:
            raise Surroundings(f"the index {name} sends no parts of a file (RFC 9110, Range)")
        whole = _bounded(answer, name, limit)
    return whole[int(first) : int(last) + 1] if first else whole[-int(last) :]


def _bounded(answer: requests.Response, name: str, limit: int) -> bytes:
    """What a server sends, up to `limit` bytes. Raises Surroundings."""
    got = bytearray()
    try:
        for block in answer.iter_content(1 << 16):
            got += block
            if len(got) > limit:
                raise Surroundings(f"the index {name} sends more than {limit // 1_000_000} MB where less is due")
    except requests.RequestException as error:
        raise Surroundings(f"the index {name} broke off in the middle ({type(error).__name__})") from None
    return bytes(got)


def _ask(
    site: Site, name: str, url: str, variant: str, method: str, own: requests.Session, *, missing: str = "",
    stream: bool = False, timeout: float = TIMEOUT, accept: str = "", span: str = "",
) -> requests.Response:  # fmt: skip
    login = site.login_at(name, url, variant)
    proxy = site.proxy_for(url)
    # a part of a file is one of what is stored, not of what a server compresses on the way
    ranged = {"Range": f"bytes={span}", "Accept-Encoding": "identity"} if span else {}
    headers = {"Accept": accept} if accept else ranged
    try:
        answer = own.request(
            method, _without_login(url), timeout=timeout, verify=site.ca or True, allow_redirects=True, stream=stream,
            auth=(login.user, login.password) if login else None,
            proxies={"http": proxy, "https": proxy} if proxy else None, headers=headers,
        )  # fmt: skip
    except requests.exceptions.ProxyError:
        raise NoAnswer(
            f"the proxy to the index {name} does not answer", hint="imagekit site shows proxy.http and proxy.https"
        ) from None
    except requests.exceptions.SSLError:
        raise NoAnswer(
            f"the index {name}: its certificate is not trusted (SSLError)",
            hint="name the CA bundle: tls.ca in imagekit.toml, or SSL_CERT_FILE; imagekit site shows what applies",
        ) from None
    except requests.RequestException as error:
        raise NoAnswer(
            f"the index {name} does not answer ({type(error).__name__})", hint="imagekit site shows the indexes"
        ) from None
    if answer.ok:
        return answer
    if answer.status_code == 404 and missing:
        raise _missing(site, name, missing)
    raise _refused(name, url, answer, login is not None)


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _refused(name: str, url: str, answer: requests.Response, login: bool) -> Surroundings:
    code = answer.status_code
    if origin(answer.url) != origin(url):
        return Surroundings(
            f"the index {name} sends to another host, which answers {code}; a login does not follow there",
            hint="name the index by the address that it sends to, with an auth of its own",
        )
    if code == 401 and login:
        return Surroundings(
            f"the index {name} refuses the login (401)", hint=f"is the password of [indexes.{name}] still valid?"
        )
    if code == 401:
        return Surroundings(
            f"the index {name} asks for a login (401)",
            hint=f'[indexes.{name}] auth = "env:NAME", "netrc" or "keyring" says where it is',
        )
    if code == 403:
        return Surroundings(
            f"the index {name} forbids this (403)",
            hint="this account may not read it, or something on the way forbids it; pip would fail as well",
        )
    if code == 407:
        return Surroundings(f"the proxy to the index {name} asks for a login (407)", hint="HTTPS_PROXY may hold one")
    what = "does not have a file that it lists" if code == 404 else "fails"
    return Surroundings(f"the index {name} {what} ({code})", hint="imagekit site shows the indexes")


def _missing(site: Site, name: str, package: str) -> ImpossibleWish:
    if name == "pypi":
        hint = "check the spelling; imagekit site shows the indexes asked"
        return ImpossibleWish(f"no index has a package named {package}", hint=hint)
    owner = site.route(package) == name
    return ImpossibleWish(
        f"the index {name} has no package named {package}",
        hint=f"indexes.{name}.only claims this name: narrow it, or publish the package there" if owner
        else "torch's builds come from it; imagekit site shows its URL",
    )  # fmt: skip
