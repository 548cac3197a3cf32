"""What is adopted from the host, below all that a site says: one index, one CA bundle, the proxies.

Extra indexes and find-links are named as ignored: merged indexes are how a stranger's package with a higher version
gets into an image.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit.site.model import Path as Key
from imagekit.site.toml import tomllib

INDEX: Key = ("indexes", "pypi", "url")
CA: Key = ("tls", "ca")

_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_IGNORED_VARIABLES = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
_PROXY_VARIABLES = {"http": ("http_proxy", "HTTP_PROXY"), "https": ("https_proxy", "HTTPS_PROXY"),
                    "no_proxy": ("no_proxy", "NO_PROXY")}  # fmt: skip


@dataclass(frozen=True)
class Found:
    key: Key | str
    """A key of the site, or what a setting that is ignored is called in its own file."""
    value: str
    origin: str


def settings(environ: Mapping[str, str]) -> tuple[list[Found], list[Found]]:
    """The host's settings: (usable, ignored), strongest first: environment, uv.toml, pip.conf."""
    usable = [Found(CA, environ[v], f"${v}") for v in _CA_VARIABLES if environ.get(v)]
    usable += [Found(INDEX, _unnamed(environ[v]), f"${v}") for v in _INDEX_VARIABLES if environ.get(v)]
    for key, variables in _PROXY_VARIABLES.items():
        usable += [Found(("proxy", key), environ[v], f"${v}") for v in variables if environ.get(v)]
    ignored = [
        Found(variable.split("_", 1)[1].lower().replace("_", "-"), value, f"${variable}")
        for variable in _IGNORED_VARIABLES
        for value in re.split(r"[\s,]+", environ.get(variable, ""))
        if value
    ]
    ignored += [Found("proxy for all", environ[v], f"${v}") for v in ("all_proxy", "ALL_PROXY") if environ.get(v)]
    home = Path(environ.get("HOME") or "/nonexistent")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    for file in (config / "uv/uv.toml", Path("/etc/uv/uv.toml")):
        found, skipped = _uv_toml(file)
        usable += found
        ignored += skipped
    own = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    for file in (*own, config / "pip/pip.conf", home / ".pip/pip.conf", Path("/etc/pip.conf")):
        found, skipped = _pip_conf(file)
        usable += found
        ignored += skipped
    return usable, ignored


def _unnamed(index: str) -> str:
    """uv lets an index have a name: name=URL."""
    return re.sub(r"^[A-Za-z0-9_.-]+=(?=\w+://)", "", index)


def _pip_conf(file: Path) -> tuple[list[Found], list[Found]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return [], [Found("unreadable", str(file), str(file))]
    usable: list[Found] = []
    ignored: list[Found] = []
    for section in ("install", "global"):
        if not parser.has_section(section):
            continue
        for key, value in parser.items(section):
            if key == "cert":
                usable.append(Found(CA, value, str(file)))
            elif key == "index-url":
                usable.append(Found(INDEX, value, str(file)))
            elif key in ("extra-index-url", "find-links"):
                ignored += [Found(key, one, str(file)) for one in value.split()]
    return usable, ignored


def _uv_toml(file: Path) -> tuple[list[Found], list[Found]]:
    try:
        raw: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return [], []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return [], [Found("unreadable", str(file), str(file))]
    usable: list[Found] = []
    ignored: list[Found] = []
    for entry in raw.get("index", []):
        url = str(entry.get("url", ""))
        (usable if entry.get("default") else ignored).append(
            Found(INDEX if entry.get("default") else "index", url, str(file))
        )
    if raw.get("index-url"):
        usable.append(Found(INDEX, str(raw["index-url"]), str(file)))
    for key in ("extra-index-url", "find-links"):
        ignored += [Found(key, str(one), str(file)) for one in raw.get(key, [])]
    return usable, ignored
