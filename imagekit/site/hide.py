"""What must not show: passwords in URLs, and hosts in logs and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit


def masked(url: str) -> str:
    """The URL without its password: ***@host."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return re.sub(r"//[^/]*@", "//***@", url)
    if not parts.password and not parts.username:
        return url
    return urlunsplit(parts._replace(netloc=f"***@{parts.hostname or ''}{port}"))


def scrub(text: str, hosts: Iterable[str] = ()) -> str:
    """Hosts out of a text: a mirror's name must not show in a log. `hosts` go wherever they stand."""
    text = re.sub(r"((?:resolv\w+|connect\w*(?: to)?|reach\w*) ['\"]?)[\w-]+(?:\.[\w-]+)+", r"\1<host>", text)
    text = re.sub(r"\b(?:https?|file|socks5h?)://[^/\s`'\")>]*([^\s`'\")>]*)", lambda m: "<index>/" + _last(m[1]), text)
    for host in hosts:
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "<host>", text)
    return text


def _last(path: str) -> str:
    return path.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
