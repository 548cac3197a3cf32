"""How people name a git repository and what they want of it: in `sources:`, and in lines of requirements files."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def url(value: str) -> str:
    """An address that holds no login: it is in the lock, and the lock is in the image. Raises ValueError."""
    shown = re.sub(r"//[^/]*@", "//", value)
    if not re.fullmatch(r"(https?|ssh)://[A-Za-z0-9._~:/%@+=,\[\]-]+", value):
        raise ValueError(f"{shown!r} is not an https, http or ssh address of a repository")
    user, _, host = value.split("/")[2].rpartition("@")
    # ssh hosts ask everyone for the user git: no login
    if user and not (value.startswith("ssh://") and user == "git"):
        raise ValueError("a user or password in it would be in the lock: git has credential helpers for them")
    if not re.match(r"[A-Za-z0-9\[]", host) or ".." in value.split("/") or "/" not in value.partition("://")[2]:
        raise ValueError(f"{shown!r} is not the address of a repository")
    return value


def ref(value: str) -> str:
    """A tag, branch or commit, as git-check-ref-format(1) has them. Raises ValueError."""
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/+@#=-]*", value)
    if not plain or re.search(r"\.\.|//|/\.|@\{|\.lock(/|$)|[./]$", value):
        raise ValueError(f"{value!r} is not the name of a tag or branch, nor a commit")
    return value


def is_commit(value: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", value) is not None


def named(line: str) -> tuple[str, str, str] | None:
    """(package, address, ref) of `name @ git+url@ref` or `git+url@ref#egg=name`; None for any other line.

    Raises ValueError saying why such a line cannot be taken. pip's form: https://pip.pypa.io/en/stable/topics/vcs-support/
    """
    if line.startswith("git+"):
        egg = re.search(r"[#&]egg=([A-Za-z0-9._-]+)(?=$|&)", line)
        if not egg:
            raise ValueError("names a URL without a package: write NAME @ git+URL@REF")
        name, text = egg[1], line
    else:
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            return None
        if not (asked.url or "").startswith("git+"):
            return None
        if asked.extras or asked.marker:
            raise ValueError("names a URL with extras or a marker: write it under sources:, its extras under requires:")
        name, text = asked.name, asked.url or ""
    address, _, fragment = text.removeprefix("git+").partition("#")
    if [part for part in fragment.split("&") if part and not part.startswith("egg=")]:
        raise ValueError("names a folder in a repository; only a whole repository can be built")
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    path, _, at = path.rpartition("@")
    if not path:
        raise ValueError("names a URL without a tag, branch or commit: write @REF behind it")
    return canonicalize_name(name), url(f"{scheme}://{host}/{path}"), ref(at)
