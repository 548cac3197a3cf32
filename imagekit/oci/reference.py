"""Names of images in registries: `host[:port]/repository[:tag][@digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagekit.errors import UsageError

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


HUB = "registry-1.docker.io"
"""Where Docker Hub's registry is, which is called docker.io."""

_HUB = ("docker.io", "index.docker.io", HUB)


@dataclass(frozen=True)
class Reference:
    host: str
    """With its port, where it has one."""
    repository: str
    tag: str = ""
    digest: str = ""
    """sha256:..."""

    @property
    def place(self) -> str:
        """The repository, with its host."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.place}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse(text: str) -> Reference:
    """A name with a registry in it (OCI distribution specification 1.1). Raises UsageError.

    A name without one is an image of an engine, and none of a registry: nobody guesses where it is.
    """
    rest, _, digest = text.partition("@")
    host, slash, path = rest.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    name, _, tag = path.partition(":")
    hint = "as registry.company:5000/ml/pytorch:2.4.1-cuda12.1"
    if host in _HUB:
        host, name = HUB, name if "/" in name else f"library/{name}"
    if not named:
        raise UsageError(f"{text!r} names no registry", hint=hint)
    problems = [
        (not _HOST.fullmatch(host), f"{host!r} is no host"),
        (not _NAME.fullmatch(name) or len(name) > 255, f"{name!r} is no repository: lower case, digits, . _ - /"),
        (":" in path and not TAG.fullmatch(tag), f"{tag!r} is no tag: at most 128 letters, digits, . _ -"),
        ("@" in text and not DIGEST.fullmatch(digest), f"{digest!r} is no digest: sha256: and 64 hexadecimal digits"),
    ]
    wrong = [said for bad, said in problems if bad]
    if wrong:
        raise UsageError(f"{text!r} is no name in a registry", details=wrong, hint=hint)
    return Reference(host, name, tag, digest)
