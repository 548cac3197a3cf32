"""What only the build needed and stayed: megabytes that every node pulls, a certificate authority that every service
trusts, or somebody's password."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .. import records
from ..check import Check, Failure, Figures, Image, installed

GONE = (
    ("/root/.cache", "*"),
    ("/root/.netrc", ""),
    ("/etc/pip.conf", ""),
    ("/etc/uv/uv.toml", ""),
    ("/etc/apt/auth.conf", ""),
    ("/var/lib/apt/lists", "*_Packages*"),
    ("/var/cache/apt/archives", "*.deb"),
    ("/run/secrets", "*"),
)
"""Folders and what must not be in them; an empty pattern is the file itself."""

IN_HOME = (
    ".cache/pip",
    ".cache/uv",
    ".netrc",
    ".docker/config.json",
    ".aws/credentials",
    ".pypirc",
    ".git-credentials",
)

KUBERNETES = "kubernetes.io"
"""Every pod has its service account there; it is not the image's."""

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
BUNDLE, DISTRIBUTION, LOCAL = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/usr/share/ca-certificates"),
    Path("/usr/local/share/ca-certificates"),
)


def files() -> list[str]:
    """Leftover files that this user can see."""
    found: list[str] = []
    for folder, pattern in GONE:
        try:
            here = [Path(folder)] if not pattern else sorted(Path(folder).glob(pattern))
            found += [str(path) for path in here if path.exists() and path.name != KUBERNETES]
        except PermissionError:
            continue  # /root is closed to an ordinary user: what is in there leaks to nobody but root
    home = Path(os.environ.get("HOME", "/"))
    return found + [str(home / name) for name in IN_HOME if (home / name).exists()]


def tools(image: Image) -> list[str]:
    """Installers that the build used and a profile did not ask for."""
    return [str(shutil.which(name)) for name in ("uv", "uvx") if shutil.which(name) and not image.has("uv")]


def authorities(image: Image) -> list[str]:
    """Certificate authorities beyond those of the distribution and those that an overlay put there on purpose."""
    trusted = {Path(str(entry)).name for entry in image.facts.get("trust") or ()}
    extra = [path for path in sorted(LOCAL.rglob("*.crt")) if path.name not in trusted]
    found = [str(path) for path in extra]
    if BUNDLE.is_file() and DISTRIBUTION.is_dir():
        known = {block for folder in (DISTRIBUTION, LOCAL) for path in folder.rglob("*.crt") for block in blocks(path)}
        unknown = [block for block in blocks(BUNDLE) if block not in known]
        found += [f"{len(unknown)} unknown certificates in {BUNDLE}"] if unknown else []
    certifi = installed("certifi")
    if certifi is not None:
        found += [name for name, _ in records.altered(records.hashed(certifi)) if name.endswith(".pem")]
    return found


def blocks(path: Path) -> list[str]:
    return ["".join(block.split()) for block in PEM.findall(path.read_text(encoding="utf-8", errors="replace"))]


def run(image: Image) -> Figures:
    found = files() + tools(image) + authorities(image)
    if found:
        raise Failure(
            found="; ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else ""),
            expected="nothing of the build's own in the image",
            because="a RUN line of a derived image or of an overlay's steps left it",
            fix="mount caches, certificates and secrets for the one RUN that needs them; trust: is for roots that stay",
        )
    return {}


CHECK = Check("no-leftovers", "static", run, covers=("certifi",), needs=("lock",))
