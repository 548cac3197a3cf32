"""Running uv to resolve: one index per package, and an environment built from nothing.

uv reads extra indexes from the environment even with --no-config, so nothing of the host's environment reaches it but
PATH. The index, the CA bundle, the proxies and the logins come from the site; a login is in the environment of that one
uv, under the name of its index, so that it is on no command line and in no file.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit import index as pages
from imagekit import scratch
from imagekit.errors import Error, ImpossibleWish, Surroundings
from imagekit.resolution import Resolution, Want
from imagekit.site import Site, scrub, tomllib, variable_name

TIMEOUT = 900
"""Seconds for one resolution; a cold cache behind a slow proxy needs minutes."""

NEWEST_GLIBC = 40
"""The newest 2.x that uv has a platform for (uv 0.13, --python-platform); no wheel asks for a newer one."""


@dataclass(frozen=True)
class File:
    name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Resolved:
    name: str
    version: str
    wheels: tuple[File, ...]
    sdist: File | None
    needed_by: tuple[str, ...] = field(default=())


def compile(
    wants: tuple[Want, ...],
    constraints: tuple[str, ...],
    excludes: tuple[str, ...],
    prefer: dict[str, str],
    resolution: Resolution,
    site: Site,
    sources: bool = False,
) -> list[Resolved]:
    """Resolve `wants` for the image's Python and glibc; `prefer` are versions to keep while they still fit.

    Only wheels, so that locking never runs a stranger's setup.py on this machine. With `sources` instead, the packages
    that have a recipe, as source, without asking their setup.py either: what they require is in the recipe.

    Raises ImpossibleWish when no set of versions fits, Surroundings when an index does not answer.
    """
    if not wants:
        return []
    with scratch.folder("lock") as folder:
        (folder / "pyproject.toml").write_text(_pyproject(wants, resolution, site))
        (folder / "constraints.txt").write_text("".join(f"{line}\n" for line in constraints))
        (folder / "excludes.txt").write_text("".join(f"{line}\n" for line in excludes))
        pins = folder / "pins.txt"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in prefer.items()))
        common = ["--constraints", "constraints.txt", "--excludes", "excludes.txt"]
        common += ["--no-deps"] if sources else ["--no-build"]
        owners: dict[str, str] = {
            canonicalize_name(Requirement(w.requirement).name): w.index for w in wants if w.index != "pypi"
        }
        _run(folder, resolution, site, owners, [*common, "--annotation-style=line", "--output-file=pins.txt"])
        edges = _edges(pins.read_text())
        # the second run is held to the versions of the first, in case the index changes between them
        _run(folder, resolution, site, owners, [*common, "--constraints=pins.txt", "--output-file=pylock.toml"])
        return _pylock((folder / "pylock.toml").read_text(), edges)


def reachable(site: Site, timeout: int) -> Error | None:
    """Why uv gets nothing from the default index now; None when it does. `timeout`: seconds for each request.

    uv is asked because it knows the default index where nobody configured one.
    """
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "compile", "-", "--no-config", "--no-cache", "--quiet", "--no-deps", "--no-build"]
    patience = {"UV_HTTP_TIMEOUT": str(timeout), "UV_HTTP_RETRIES": "0"}
    try:
        done = subprocess.run(
            command, input="six\n", env=environment(site) | patience, capture_output=True, text=True,
            timeout=3 * timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Surroundings("a package index does not answer", hint="imagekit site shows which indexes apply")
    except Error as error:  # a login that its reference does not lead to
        return error
    return _error(done.stderr) if done.returncode else None


def default_index(site: Site) -> str:
    """The URL of the index that uv takes where nobody configured one. Nothing is asked of the network."""
    from uv import find_uv_bin

    command = [find_uv_bin(), "pip", "compile", "-", "--no-config", "--quiet", "--no-header", "--offline"]
    done = subprocess.run(
        [*command, "--emit-index-url"], input="", env=environment(site), capture_output=True, text=True, check=False
    )
    found = re.search(r"^--index-url (\S+)", done.stdout, re.MULTILINE)
    if not found:
        raise Surroundings("uv does not say which index it takes", details=scrub(done.stderr).splitlines()[:12])
    return found[1]


def _pyproject(wants: tuple[Want, ...], resolution: Resolution, site: Site) -> str:
    """One explicit index per package. uv binds an index to direct requirements only (see lock.make)."""
    lines = ["[project]", 'name = "profile"', 'version = "0"', f'requires-python = "=={resolution.python}.*"']
    lines += ["dependencies = [", *(f"  {_quoted(want.requirement)}," for want in wants), "]"]
    routed = {canonicalize_name(Requirement(w.requirement).name): w.index for w in wants if w.index != "pypi"}
    if routed:
        lines += ["[tool.uv.sources]", *(f"{name} = {{ index = {_quoted(index)} }}" for name, index in routed.items())]
    for index in sorted(set(routed.values())):
        url = site.bare_url(index, resolution.variant)
        lines += ["[[tool.uv.index]]", f"name = {_quoted(index)}", f"url = {_quoted(url)}", "explicit = true"]
    for build in resolution.builds:
        requires = ", ".join(_quoted(line) for line in build.requires)
        lines += ["[[tool.uv.dependency-metadata]]", f'name = "{build.package}"', f"requires-dist = [{requires}]"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def environment(site: Site, indexes: Iterable[str] = ()) -> dict[str, str]:
    """The whole environment of a uv that imagekit starts; `indexes` are those it asks besides the default one."""
    env = {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": str(scratch.cache() / "uv"),
        "HOME": str(scratch.cache()),
        **scratch.resolver(),
    }
    if site.ca:
        env["SSL_CERT_FILE"] = site.ca
    if site.default_index:
        # not in the project file: --no-config makes uv read no [[tool.uv.index]] but those that a source names
        env["UV_DEFAULT_INDEX"] = f"pypi={site.bare_url('pypi')}"
    for kind, variable in (("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY"), ("no_proxy", "NO_PROXY")):
        if site.proxy.get(kind):
            env[variable] = site.proxy[kind]
    for index in ("pypi", *indexes):
        login = site.login(index)
        if login:
            name = variable_name(index)
            env |= {f"UV_INDEX_{name}_USERNAME": login.user, f"UV_INDEX_{name}_PASSWORD": login.password}
    return env


def _run(folder: Path, resolution: Resolution, site: Site, owners: dict[str, str], arguments: list[str]) -> None:
    """Run uv in a folder; `owners`: package -> index, where that is not the default one."""
    from uv import find_uv_bin

    major, minor = resolution.glibc.split(".")
    glibc = f"{major}_{min(int(minor), NEWEST_GLIBC)}"
    command = [
        find_uv_bin(), "pip", "compile", "pyproject.toml", "--no-config", "--quiet", "--no-header",
        "--no-emit-index-url", f"--python-version={resolution.python}",
        f"--python-platform=x86_64-manylinux_{glibc}", *arguments,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(site, sorted(set(owners.values()))), capture_output=True, text=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Surroundings(
            f"resolving took more than {TIMEOUT} s", hint="is the index reachable? imagekit site"
        ) from None
    if done.returncode:
        raise _index_error(done.stderr, resolution, site, owners) or _error(done.stderr)


_CAUSES = (
    (r"certificate|UnknownIssuer", "the index's certificate is not trusted",
     "name the CA bundle: tls.ca in imagekit.toml, or SSL_CERT_FILE; imagekit site shows what applies"),
    (r"Connection refused|dns error|error sending request|Failed to fetch|timed out|tunnel error|Network is unreach",
     "a package index does not answer", "imagekit site shows which indexes apply, and from where"),
    (r"No space left", "no space left on this machine", "free some disk"),
)  # fmt: skip


_NOT_GOT = re.compile(
    r"there (?:are no versions|is no version) of ([A-Za-z0-9._-]*[A-Za-z0-9])"
    r"|([A-Za-z0-9._-]+) was not found in"
    r"|/([A-Za-z0-9._-]+)/`?\)?$",
    re.MULTILINE,
)
"""A package that uv did not get, in its words or by the URL of its page, which ends with / (PEP 503)."""


def _index_error(stderr: str, resolution: Resolution, site: Site, owners: dict[str, str]) -> Error | None:
    """What is wrong with the index of a package that uv did not get: a login refused, a login page, no such package."""
    if not re.search(r"was not found in|no versions? of|Failed to fetch", stderr):
        return None
    for match in _NOT_GOT.finditer(stderr):
        name = canonicalize_name(match[1] or match[2] or match[3])
        index = owners.get(name, "pypi")
        if name not in ("profile", "simple") and (index != "pypi" or site.default_index):
            error = pages.trouble(site, index, resolution.variant, name)
            if error:
                return error
    return None


def _error(stderr: str) -> Error:
    text = scrub(stderr).strip()
    tail = [line.strip() for line in text.splitlines() if line.strip()][:12]
    if re.search(r"not found in the (package registry|provided)|was not found", text):
        names = re.findall(r"(?:Because|and) (\S+) was not found", text)
        what = f"no index has a package named {names[0]}" if names else "a package does not exist"
        return ImpossibleWish(what, details=tail, hint="check the spelling; imagekit site shows the indexes asked")
    if "building from source is disabled" in text:
        hint = "imagekit builds from source only what it has a recipe for; ask for a version that has a wheel"
        what = "a package has no wheel for this Python and glibc, only its source"
        return ImpossibleWish(what, details=tail, hint=hint)
    if "No solution found" in text or "unsatisfiable" in text:
        return ImpossibleWish("no set of versions fits these requirements", details=tail, hint="loosen one of them")
    for pattern, message, hint in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return Surroundings(message, details=tail, hint=hint)
    return Surroundings("uv could not resolve the packages", details=tail)


def _edges(pins: str) -> dict[str, tuple[str, ...]]:
    edges: dict[str, tuple[str, ...]] = {}
    for line in pins.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==\S+\s+# via (.*)", line)
        if match:
            others = (via.strip() for via in match[2].split(","))
            edges[canonicalize_name(match[1])] = tuple(v for v in others if not v.startswith(("profile ", "-c ")))
    return edges


def _pylock(text: str, edges: dict[str, tuple[str, ...]]) -> list[Resolved]:
    result = []
    for entry in tomllib.loads(text)["packages"]:
        wheels = tuple(_file(wheel) for wheel in entry.get("wheels", []))
        sdist = _file(entry["sdist"]) if "sdist" in entry else None
        name = canonicalize_name(entry["name"])
        result.append(Resolved(name, entry["version"], wheels, sdist, edges.get(name, ())))
    return result


def _file(entry: dict[str, object]) -> File:
    url = str(entry.get("url") or Path(str(entry.get("path"))).as_uri())
    hashes = entry.get("hashes") or {}
    assert isinstance(hashes, dict)
    return File(unquote(urlsplit(url).path.rsplit("/", 1)[-1]), url, str(hashes.get("sha256", "")))
