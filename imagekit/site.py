"""Where things come from and go to: indexes, CA bundle, registry, base images.

A site never chooses a package or a version; it may say which index owns a name. Of the host's own pip and uv settings
one `index-url` and one CA bundle are adopted, and shown; extra indexes and find-links are named as ignored, because
merged indexes are how a stranger's package with a higher version gets into an image.
"""

from __future__ import annotations

import configparser
import difflib
import fnmatch
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit.errors import UsageError

__all__ = ["Index", "Setting", "Settings", "Site", "load", "masked", "scrub", "tomllib"]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "imagekit.toml"
PYTORCH = "https://download.pytorch.org/whl/{variant}"
"""PyTorch's own index (https://pytorch.org/get-started/previous-versions/)."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Index(_Model):
    url: str
    """May hold {variant}, such as cu121."""
    only: list[str] = Field(default_factory=list)
    """Names (shell patterns) that come from here and nowhere else."""


class Registry(_Model):
    push: str = ""
    prod: str = ""
    login: str = "docker"


class Tags(_Model):
    repository: str = "pytorch"
    bare: str = "video-llm"
    """The profile that owns pytorch:<ver>-cuda<xx>; "" = nobody."""


class Tls(_Model):
    ca: str = ""


class Bases(_Model):
    default: str = ""
    map: dict[str, str] = Field(default_factory=dict)


class Settings(_Model):
    """imagekit.toml."""

    registry: Registry = Registry()
    tags: Tags = Tags()
    indexes: dict[str, Index] = Field(default_factory=dict)
    tls: Tls = Tls()
    base: Bases = Bases()


@dataclass(frozen=True)
class Setting:
    """One line of `imagekit site`: what applies, and from where."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True)
class Site:
    settings: Settings
    default_index: str
    """URL of the one index that everything comes from unless routed; empty = the default of uv and pip."""
    ca: str
    """Path of a CA bundle on this machine; empty = none is configured."""
    shown: tuple[Setting, ...]
    ignored: tuple[Setting, ...]

    def index_url(self, name: str, variant: str = "") -> str:
        """The URL of an index by its name in a lock; empty for the default of uv and pip."""
        if name == "pypi":
            return self.default_index
        if name in self.settings.indexes:
            return self.settings.indexes[name].url.format(variant=variant)
        if name == "pytorch":
            return PYTORCH.format(variant=variant)
        raise UsageError(
            f"the lock takes packages from an index named {name!r}, and this site has none of that name",
            hint=f"add [indexes.{name}] to {FILE}",
        )

    def signed(self, url: str) -> str:
        """A file's URL with the default index's user and password, where it is on that host: uv leaves them out."""
        login, _, host = urlsplit(self.default_index).netloc.rpartition("@")
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{login}@{host}")) if login and parts.netloc == host else url

    def route(self, package: str) -> str:
        """The index that owns a package name, or "" when nobody claimed it."""
        name = canonicalize_name(package)
        for index, entry in self.settings.indexes.items():
            if any(fnmatch.fnmatchcase(name, canonicalize_name(pattern)) for pattern in entry.only):
                return index
        return ""


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Site:
    """The site of `path`, else of IMAGEKIT_SITE, else of imagekit.toml here; and the host's own settings below it."""
    if path is None and environ.get("IMAGEKIT_SITE"):
        path = Path(environ["IMAGEKIT_SITE"])
    if path is None and Path(FILE).is_file():
        path = Path(FILE)
    settings = _read(path) if path else Settings()
    shown: list[Setting] = []
    host, ignored = _host(environ)

    default = ""
    if "pypi" in settings.indexes:
        default = settings.indexes["pypi"].url
        shown.append(Setting("index pypi", masked(default), str(path)))
        ignored += [s for s in host if s.name == "index-url"]
    else:
        urls = [s for s in host if s.name == "index-url"]
        if urls:
            default = urls[0].value
            shown.append(Setting("index pypi", masked(default), urls[0].origin))
            ignored += urls[1:]
        else:
            shown.append(Setting("index pypi", "the default of uv and pip", "built in"))
    for name, index in settings.indexes.items():
        if name != "pypi":
            only = f" only {', '.join(index.only)}" if index.only else ""
            shown.append(Setting(f"index {name}", masked(index.url) + only, str(path)))
    if "pytorch" not in settings.indexes:
        shown.append(Setting("index pytorch", PYTORCH, "built in"))

    ca, origin = settings.tls.ca, str(path)
    if not ca:
        found = next((s for s in host if s.name == "ca"), None)
        ca, origin = (found.value, found.origin) if found else ("", "")
    if ca:
        if not Path(ca).is_file():
            raise UsageError(f"{origin}: the CA bundle {ca} does not exist", hint="tls.ca names a PEM file")
        shown.append(Setting("ca", ca, origin))
    if settings.registry.push:
        shown.append(Setting("registry", settings.registry.push, str(path)))
    for name, to in settings.base.map.items():
        shown.append(Setting(f"base {name}", to, str(path)))
    ignored = [Setting(s.name, masked(s.value), s.origin) for s in ignored]
    return Site(settings, default, ca, tuple(shown), tuple(dict.fromkeys(ignored)))


def masked(url: str) -> str:
    """The URL without its password: user:***@host."""
    parts = urlsplit(url)
    if not parts.password and not parts.username:
        return url
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"***@{host}{port}"))


def scrub(text: str) -> str:
    """Hosts out of a text: a mirror's name must not show in a log."""
    text = re.sub(r"((?:resolv\w+|connect\w*(?: to)?|reach\w*) ['\"]?)[\w-]+(?:\.[\w-]+)+", r"\1<host>", text)
    return re.sub(r"\b(?:https?|file)://[^/\s`'\")>]*([^\s`'\")>]*)", lambda m: "<index>/" + _last(m[1]), text)


def _last(path: str) -> str:
    return path.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _read(path: Path) -> Settings:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the site file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the site file {path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"])
            message = item["msg"]
            if item["type"] == "extra_forbidden":
                near = difflib.get_close_matches(str(item["loc"][-1]), Settings.model_fields, 1)
                message = "unknown key" + (f"; did you mean {near[0]}?" if near else "")
            problems.append(f"{path.name}: {field}: {message}")
        raise UsageError(f"the site file {path.name} is wrong", details=problems) from None
    problems = [
        f"{path.name}: indexes.{name}.url: {masked(index.url)!r} is not an http(s) or file URL"
        for name, index in settings.indexes.items()
        if urlsplit(index.url).scheme not in ("http", "https", "file")
    ]
    problems += [
        f"{path.name}: indexes.{name}.url: holds a password; a site file never does"
        for name, index in settings.indexes.items()
        if urlsplit(index.url).password
    ]
    if problems:
        raise UsageError(f"the site file {path.name} is wrong", details=problems)
    return settings


_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_IGNORED_VARIABLES = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")


def _host(environ: Mapping[str, str]) -> tuple[list[Setting], list[Setting]]:
    """The host's pip and uv settings: (usable, ignored), strongest first: environment, uv.toml, pip.conf."""
    usable = [Setting("ca", environ[v], f"${v}") for v in _CA_VARIABLES if environ.get(v)]
    usable += [Setting("index-url", environ[v], f"${v}") for v in _INDEX_VARIABLES if environ.get(v)]
    ignored = [
        Setting(variable.split("_", 1)[1].lower().replace("_", "-"), value, f"${variable}")
        for variable in _IGNORED_VARIABLES
        for value in re.split(r"[\s,]+", environ.get(variable, ""))
        if value
    ]
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


def _pip_conf(file: Path) -> tuple[list[Setting], list[Setting]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return [], [Setting("unreadable", str(file), str(file))]
    usable: list[Setting] = []
    ignored: list[Setting] = []
    for section in ("install", "global"):
        if not parser.has_section(section):
            continue
        for key, value in parser.items(section):
            if key == "cert":
                usable.append(Setting("ca", value, str(file)))
            elif key == "index-url":
                usable.append(Setting("index-url", value, str(file)))
            elif key in ("extra-index-url", "find-links"):
                ignored += [Setting(key, one, str(file)) for one in value.split()]
    return usable, ignored


def _uv_toml(file: Path) -> tuple[list[Setting], list[Setting]]:
    try:
        raw: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return [], []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return [], [Setting("unreadable", str(file), str(file))]
    usable: list[Setting] = []
    ignored: list[Setting] = []
    for entry in raw.get("index", []):
        url = str(entry.get("url", ""))
        where = usable if entry.get("default") else ignored
        where.append(Setting("index-url" if entry.get("default") else "index", url, str(file)))
    if raw.get("index-url"):
        usable.append(Setting("index-url", str(raw["index-url"]), str(file)))
    for key in ("extra-index-url", "find-links"):
        ignored += [Setting(key, str(one), str(file)) for one in raw.get(key, [])]
    return usable, ignored
