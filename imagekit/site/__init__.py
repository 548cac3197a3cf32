"""Where things come from and go to: indexes, CA bundle, proxies, mirrors, registry, base images, fleet.

A site never chooses a package or a version; it may say which index owns a name. levels.py has the precedence, host.py
what is adopted from the host, credentials.py how a login is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from imagekit.errors import UsageError
from imagekit.site import credentials, host, levels, model
from imagekit.site.credentials import Login
from imagekit.site.hide import masked, scrub
from imagekit.site.levels import FILE, variable_name
from imagekit.site.model import Index, Settings, Tags
from imagekit.site.toml import tomllib

__all__ = [
    "Index", "Login", "Setting", "Settings", "Site", "Tags", "load", "masked", "scrub", "tomllib", "variable_name",
]  # fmt: skip

PYTORCH = "https://download.pytorch.org/whl/{variant}"
"""PyTorch's own index (https://pytorch.org/get-started/previous-versions/)."""


@dataclass(frozen=True)
class Setting:
    """One line of `imagekit site`: what applies, and from where."""

    name: str
    value: str
    origin: str
    why: str = ""
    """Why it does not apply, or where it does not."""


@dataclass(frozen=True)
class Site:
    settings: Settings
    default_index: str
    """URL of the one index that everything comes from unless routed; empty = the default of uv and pip. One of the
    host's settings may hold a login; one of a site file never does."""
    ca: str
    """Path of a CA bundle on this machine; empty = none is configured."""
    shown: tuple[Setting, ...]
    ignored: tuple[Setting, ...]
    proxy: Mapping[str, str] = field(default_factory=dict)
    """http, https, no_proxy: those that apply on this machine. One of the host's may hold a login."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    logins: dict[str, Login | None] = field(default_factory=dict, repr=False, compare=False)

    def index_url(self, name: str, variant: str = "") -> str:
        """The URL of an index by its name in a lock; empty for the default of uv and pip."""
        entry = self.settings.indexes.get(name)
        if name == "pypi":
            return self.default_index
        if entry and entry.url:
            return entry.url.replace("{variant}", variant)
        if name == "pytorch":
            return PYTORCH.replace("{variant}", variant)
        raise UsageError(
            f"the lock takes packages from an index named {name!r}, and this site has none of that name",
            hint=f"add [indexes.{name}] to {FILE}",
        )

    def bare_url(self, name: str, variant: str = "") -> str:
        """The URL of an index without a login."""
        parts = urlsplit(self.index_url(name, variant))
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def login(self, name: str) -> Login | None:
        """The login of an index: by its reference, else the one in the host's URL. Raises Surroundings."""
        if name not in self.logins:
            entry = self.settings.indexes.get(name)
            if entry and entry.auth:
                self.logins[name] = credentials.find(name, self.bare_url(name), entry.auth, entry.user, self.environ)
            else:
                parts = urlsplit(self.index_url(name))
                user, password = unquote(parts.username or ""), unquote(parts.password or "")
                self.logins[name] = Login(user, password) if user or password else None
        return self.logins[name]

    def login_at(self, name: str, url: str, variant: str = "") -> Login | None:
        """The login of an index for a URL: only where that is of the index's own scheme, host and port."""
        return self.login(name) if origin(url) == origin(self.index_url(name, variant)) else None

    def signed_url(self, name: str) -> str:
        """The URL of an index with its login, for a file that only a build step sees; empty for the default."""
        login, url = self.login(name), self.bare_url(name)
        if not login or not url:
            return url
        parts = urlsplit(url)
        user = f"{quote(login.user, safe='')}:{quote(login.password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))

    def route(self, package: str) -> str:
        """The index that owns a package name, or "" when nobody claimed it."""
        name = canonicalize_name(package)
        return next((index for index, entry in self.settings.indexes.items() if entry.owns(name)), "")

    def proxy_for(self, url: str) -> str:
        """The proxy that a URL is asked through from this machine; empty = none."""
        parts = urlsplit(url)
        name = (parts.hostname or "").lower()
        for entry in re.split(r"[,\s]+", self.proxy.get("no_proxy", "").lower()):
            bare = entry.lstrip("*").lstrip(".").rpartition(":")[0] or entry.lstrip("*").lstrip(".")
            if entry == "*" or (bare and (name == bare or name.endswith(f".{bare}"))):
                return ""
        return self.proxy.get(parts.scheme, "")

    def build_proxies(self) -> dict[str, str]:
        """The predefined build arguments (HTTP_PROXY and so on): in every step, in no history, image or cache key."""
        usable = {key: value for key, value in self.proxy.items() if key == "no_proxy" or self._reachable(value)}
        names = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY", "no_proxy": "NO_PROXY"}
        if not usable.keys() - {"no_proxy"}:
            return {}
        return {spelling: value for key, value in usable.items() for spelling in (names[key], names[key].lower())}

    def _reachable(self, proxy: str) -> bool:
        """A proxy on this machine's loopback is not there in a build's own network."""
        return self.settings.build.network == "host" or not loopback(proxy)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of all indexes, mirrors and proxies that somebody configured: not for logs."""
        s = self.settings
        urls = [self.default_index, s.apt.mirror, s.apt.security, s.hub.endpoint]
        urls += [*(index.url for index in s.indexes.values()), self.proxy.get("http", ""), self.proxy.get("https", "")]
        return tuple(sorted({urlsplit(url).hostname or "" for url in urls} - {""}))


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def loopback(url: str) -> bool:
    name = urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    return name in ("localhost", "::1") or name.startswith("127.")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Site:
    """The site of all levels; `path` is the file of --site. Raises UsageError."""
    merged = levels.merge(levels.read(path, environ))
    s = merged.settings
    usable, skipped = host.settings(environ)
    ignored = [Setting(".".join(v.key), _text(v.value), v.origin, why) for v, why in merged.overridden]
    ignored += [Setting(_name(f.key), masked(f.value), f.origin, "never merged") for f in skipped]
    adopted: dict[model.Path, host.Found] = {}
    for found in usable:
        by = merged.applies.get(found.key) or adopted.get(found.key)  # type: ignore[arg-type]
        if by is None:
            adopted[found.key] = found  # type: ignore[index]
        elif by.value != found.value:
            ignored.append(Setting(_name(found.key), masked(found.value), found.origin, f"{by.origin} says it"))
    for found in adopted.values():
        _check(found)

    def value(key: model.Path, own: str) -> str:
        return own if key in merged.applies else adopted[key].value if key in adopted else ""

    index = s.indexes.get("pypi", Index())
    default, ca = value(host.INDEX, index.url), value(host.CA, s.tls.ca)
    if index.auth and not default:
        raise UsageError("indexes.pypi.auth: there is a login and no URL", hint="write indexes.pypi.url beside it")
    proxy = {key: value(("proxy", key), getattr(s.proxy, key)) for key in ("http", "https", "no_proxy")}
    if ca and not Path(ca).is_file():
        who = (merged.applies.get(host.CA) or adopted[host.CA]).origin
        raise UsageError(f"{who}: the CA bundle {ca} does not exist", hint="tls.ca names a PEM file")
    shown = tuple(_shown(merged, adopted, environ))
    return Site(
        s, default, ca, shown, tuple(dict.fromkeys(ignored)), {key: text for key, text in proxy.items() if text},
        dict(environ),
    )  # fmt: skip


def _check(found: host.Found) -> None:
    """What is adopted goes into configuration files, as what a site says does; it may hold a login."""
    index, proxy = found.key == host.INDEX, found.key[0] == "proxy" and found.key[-1] != "no_proxy"
    if not found.value.isprintable() or (index or proxy) and re.search(r"[\s\"'\\]", found.value):
        raise UsageError(f"{found.origin}: {_name(found.key)} has a character that does not belong there")
    if index:
        parts = urlsplit(found.value)
        if parts.scheme not in ("http", "https", "file"):
            raise UsageError(f"{found.origin}: the index is not an http(s) or file URL")


def _shown(
    merged: levels.Merged, adopted: Mapping[model.Path, host.Found], environ: Mapping[str, str]
) -> Iterator[Setting]:
    rows: dict[model.Path, Setting] = {}
    for key, said in merged.applies.items():
        if said.value != {}:
            rows[key] = Setting(".".join(key), _text(said.value), said.origin, _why(key, said.value, merged, environ))
    for key, found in adopted.items():
        rows[key] = Setting(".".join(key), masked(found.value), found.origin, _why(key, found.value, merged, environ))
    rows.setdefault(host.INDEX, Setting("indexes.pypi.url", "the default of uv and pip", "built in"))
    rows.setdefault(("indexes", "pytorch", "url"), Setting("indexes.pytorch.url", PYTORCH, "built in"))
    for key, _ in model.leaves():
        default = getattr(getattr(Settings(), key[0]), key[1])
        if key not in rows and default:
            rows[key] = Setting(".".join(key), _text(default), "built in")
    sections = list(Settings.model_fields)
    for key in sorted(rows, key=lambda key: (sections.index(key[0]), key[:-1] != ("indexes", "pypi"))):
        yield rows[key]


def _why(key: model.Path, value: Any, merged: levels.Merged, environ: Mapping[str, str]) -> str:
    if key[-1] == "auth" and value.startswith("env:") and not environ.get(value[4:]):
        return "not set"
    if key in (("proxy", "http"), ("proxy", "https")) and loopback(value) and merged.settings.build.network != "host":
        return "not for builds: it is on this machine's loopback"
    return ""


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else masked(str(value))


def _name(key: model.Path | str) -> str:
    return key if isinstance(key, str) else "index-url" if key == host.INDEX else ".".join(key)
