"""What a value of a site may hold. Values reach Dockerfiles, shells, URLs and configuration files, so they are checked
here, once: a line break, a quote or a space in one of them would be a line of something else."""

from __future__ import annotations

import functools
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from imagekit.forms import BASE, matching, one_line

_URL = re.compile(r"[A-Za-z0-9._~:/@%+,=&?\[\]-]+")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
"""[host[:port]/]path, as registries take it (https://github.com/distribution/reference)."""
_REFERENCE = re.compile(_REPOSITORY.pattern + r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?")


def _url(value: str, schemes: tuple[str, ...], placeholder: str = "") -> str:
    bare = value.replace(placeholder, "x") if placeholder else value
    kind = f"an {schemes[0]}(s) or file URL" if "file" in schemes else f"a URL of {', '.join(schemes)}"
    try:
        parts = urlsplit(bare)
        host, user, password = parts.hostname, parts.username, parts.password
        _ = parts.port
    except ValueError:
        raise ValueError(f"is not {kind}") from None
    if password:
        raise ValueError("holds a password; a site file never does: write auth")
    if user:
        raise ValueError("holds a user name, which may be a token: write user and auth")
    if parts.scheme not in schemes or not _URL.fullmatch(bare) or not (host or parts.scheme == "file"):
        raise ValueError(f"{value!r} is not {kind}")
    return value


def _index_url(value: str) -> str:
    return _url(value, ("http", "https", "file"), "{variant}") if value else value


def _apt_url(value: str) -> str:
    if value and re.search(r"[@&?,=\[\]]", value):
        raise ValueError("holds a character that no mirror of a distribution needs")
    return _url(value, ("http", "https"), "{distribution}") if value else value


def _web_url(value: str) -> str:
    return _url(value, ("http", "https")) if value else value


def _proxy_url(value: str) -> str:
    return _url(value, ("http", "https", "socks5", "socks5h")) if value else value


_optional = functools.partial(matching, empty=True)
"""A key that is left empty is as good as one that is not there."""


IndexUrl = Annotated[str, AfterValidator(_index_url)]
AptUrl = Annotated[str, AfterValidator(_apt_url)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
NoProxy = Annotated[str, _optional(r"[A-Za-z0-9.,:*/_\[\] -]*", "a list of hosts with commas between them")]
Pattern = Annotated[str, _optional(r"[A-Za-z0-9._*?\[\]!-]+", "a package name or a pattern of names")]
Auth = Annotated[
    str, _optional(r"env:[A-Za-z_][A-Za-z0-9_]*|netrc|keyring", "env:NAME, netrc or keyring; a value is never written")
]
User = Annotated[str, _optional(r"[^\s:\x00-\x1f\x7f]+", "a user name")]
IndexName = Annotated[str, _optional(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "a name of an index")]
Name = Annotated[str, _optional(r"[a-z0-9]+([._-][a-z0-9]+)*", "a name: lower case, digits, and . _ - between them")]
Repository = Annotated[str, _optional(_REPOSITORY.pattern, "a repository, as registry.example/team")]
RegistryHost = Annotated[str, _optional(r"[A-Za-z0-9.-]+(:\d+)?", "a registry, as registry.example:5000")]
Reference = Annotated[str, _optional(_REFERENCE.pattern, "an image reference")]
Base = Annotated[str, _optional(BASE, "a base: distro:SUITE, image:REFERENCE")]
File = Annotated[str, AfterValidator(one_line)]
Line = Annotated[str, AfterValidator(one_line)]
Gpu = Annotated[str, _optional(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", "the name of a GPU, as H100")]
Driver = Annotated[str, _optional(r"\d{3,4}\.\d+(\.\d+)?", "a driver version, as 535.183.01")]
Age = Annotated[str, _optional(r"[1-9]\d{0,3}[hdw]", "an age: a number below 10000 and h, d or w, as 7d")]
