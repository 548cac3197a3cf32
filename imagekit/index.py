"""Files of a package index (PEP 503 HTML) by name, for indexes that no build stage may see."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import requests

from imagekit.errors import Surroundings

TIMEOUT = 60
"""Seconds without a byte."""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def download(url: str, package: str, file: str, ca: str) -> bytes:
    """The bytes of `file` of `package`. The caller checks the hash. Raises Surroundings."""
    page = f"{url.rstrip('/')}/{package}/"
    links = _Links()
    links.feed(get(page + "index.html" if page.startswith("file:") else page, ca).decode(errors="replace"))
    for link in links.found:
        target = urljoin(page, link)
        if unquote(urlsplit(target).path.rsplit("/", 1)[-1]) == file:
            return get(target, ca)
    raise Surroundings(f"the index that owns {package} no longer has {file}", hint="lock again, or restore the file")


def get(url: str, ca: str) -> bytes:
    """The bytes at a URL (http, https, file). Raises Surroundings without naming the host."""
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        try:
            return path.read_bytes()
        except OSError as error:
            raise Surroundings(f"a local index has no {path.name}: {error.strerror}") from None
    try:
        answer = requests.get(url, timeout=TIMEOUT, verify=ca or True)
        answer.raise_for_status()
    except requests.RequestException as error:
        kind = type(error).__name__
        raise Surroundings(
            f"a package index does not answer ({kind})", hint="imagekit site shows the indexes"
        ) from None
    return answer.content
