"""A page of a package index, as it is written: HTML (PEP 503) or JSON (PEP 691), with what PEP 592, 658 and 700 add."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.9, text/html;q=0.8"
"""What a reader of these pages asks for (PEP 691)."""

_ENDINGS = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")


@dataclass(frozen=True)
class Listed:
    """One file on a page."""

    name: str
    url: str
    """Absolute, without a fragment."""
    requires_python: str = ""
    uploaded: str = ""
    """The day, UTC: "2026-10-28"; "" where the page does not say it."""
    yanked: bool = False
    metadata: bool = False
    """Whether `url`.metadata is the METADATA of the wheel (PEP 658)."""


def parse(text: str, kind: str, address: str) -> list[Listed]:
    """The distribution files on a page at `address`; `kind` is its Content-Type. Raises ValueError for broken JSON.

    Links that lead nowhere are left out, as are those from the web to files of this machine.
    """
    if "json" in kind:
        try:
            given = _json(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
    else:
        parser = _Anchors()
        parser.feed(text)
        given = parser.found
    found = []
    for attributes in given:
        url = _url(address, attributes["href"])
        if url:
            found.append(_listed(url, attributes))
    return [one for one in found if one.name.endswith(_ENDINGS)]


def _url(address: str, link: str) -> str:
    """Absolute, without a fragment; "" for what is no address of a file."""
    try:
        url = urldefrag(urljoin(address, link)).url
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    allowed = ("http", "https", "file") if urlsplit(address).scheme == "file" else ("http", "https")
    return url if parts.scheme in allowed and unquote(parts.path).isprintable() else ""


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "a" and given.get("href"):
            self.found.append(given)


def _listed(url: str, given: dict[str, str]) -> Listed:
    return Listed(
        name=unquote(urlsplit(url).path.rsplit("/", 1)[-1]),
        url=url,
        requires_python=given.get("data-requires-python", ""),
        uploaded=_day(given.get("data-upload-time", "")),
        yanked="data-yanked" in given,
        # the second is the first name of it, which some indexes still use
        metadata=bool({given.get("data-core-metadata"), given.get("data-dist-info-metadata")} - {None, "false"}),
    )


def _day(time: str) -> str:
    try:
        return date.fromisoformat(time[:10]).isoformat()
    except ValueError:
        return ""


def _json(text: str) -> list[dict[str, str]]:
    """The files of a page of PEP 691 as anchors of PEP 503 have them."""
    page: Any = json.loads(text)
    files = page.get("files") if isinstance(page, dict) else None
    if not isinstance(files, list) or not all(isinstance(file, dict) and file.get("url") for file in files):
        raise ValueError("it is not a page of PEP 691")
    return [
        {
            "href": str(file["url"]),
            "data-requires-python": str(file.get("requires-python") or ""),
            "data-upload-time": str(file.get("upload-time") or ""),
            **({"data-yanked": ""} if file.get("yanked") else {}),
            **({"data-core-metadata": "true"} if file.get("core-metadata") or file.get("dist-info-metadata") else {}),
        }
        for file in files
    ]
