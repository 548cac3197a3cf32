"""A page of a package index, as it is written: HTML (PEP 503) or JSON (PEP 691), with what PEP 592, 658 and 700 add."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """The distribution files on a page at `address`; `kind` is its Content-Type. Raises ValueError for broken JSON."""
    if "json" in kind:
        return _json(text, address)
    parser = _Anchors()
    parser.feed(text)
    found = [_listed(address, attributes) for attributes in parser.found]
    return [one for one in found if one.name.endswith(_ENDINGS)]


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "a" and given.get("href"):
            self.found.append(given)


def _listed(address: str, given: dict[str, str]) -> Listed:
    url = urldefrag(urljoin(address, given["href"])).url
    return Listed(
        name=unquote(urlsplit(url).path.rsplit("/", 1)[-1]),
        url=url,
        requires_python=given.get("data-requires-python", ""),
        uploaded=given.get("data-upload-time", "")[:10],
        yanked="data-yanked" in given,
        # the second is the first name of it, which some indexes still use
        metadata=bool({given.get("data-core-metadata"), given.get("data-dist-info-metadata")} - {None, "false"}),
    )


def _json(text: str, address: str) -> list[Listed]:
    page: Any = json.loads(text)
    files = page.get("files") if isinstance(page, dict) else None
    if not isinstance(files, list) or not all(isinstance(file, dict) and file.get("url") for file in files):
        raise ValueError("it is not a page of PEP 691")
    return [
        Listed(
            name=str(file.get("filename") or ""),
            url=urldefrag(urljoin(address, str(file["url"]))).url,
            requires_python=str(file.get("requires-python") or ""),
            uploaded=str(file.get("upload-time") or "")[:10],
            yanked=bool(file.get("yanked")),
            metadata=bool(file.get("core-metadata") or file.get("dist-info-metadata")),
        )
        for file in files
    ]
