"""What a field of a profile may hold. Names and values are checked here because they reach a Dockerfile."""

from __future__ import annotations

import re
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BeforeValidator

from imagekit.forms import BASE, in_quotes, matching, one_line


def _requirement(value: str) -> str:
    try:
        requirement = Requirement(value)
    except InvalidRequirement as error:
        raise ValueError(f"{value!r} is not a requirement (PEP 508): {str(error).splitlines()[0]}") from None
    if requirement.url:
        said = "sources: takes a git repository" if requirement.url.startswith("git+") else "a site file names indexes"
        raise ValueError(f"{value!r} names a URL; {said}")
    return value


def _target(value: str) -> str:
    """Where a file goes in the image: absolute, and not into what proves the image."""
    if not re.fullmatch(r"/[A-Za-z0-9_.+@%,=/-]*", value) or ".." in value.split("/"):
        raise ValueError(f"{value!r} is not an absolute path of letters, digits and . _ + @ % , = -")
    if value.rstrip("/") in ("", "/opt") or value.startswith(("/opt/imagekit", "/opt/venv")):
        raise ValueError(f"{value!r} belongs to imagekit")
    return value


def _source(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"{value!r} is outside of the profile's folder")
    return value


def _apt_uri(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/?%@+=,\[\]-]+", value):
        raise ValueError(f"{value!r} is not an http or https address")
    if "@" in value.split("/")[2]:
        raise ValueError("an address with a user or password in it would stay in the image")
    return value


def _step(value: str) -> str:
    if not one_line(value).strip():
        raise ValueError("is empty")
    return value


Version = Annotated[str, BeforeValidator(in_quotes)]
AptComponent = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._~+/-]*", "a component (main)")]
AptSuite = Annotated[
    str,
    matching(r"[A-Za-z0-9][A-Za-z0-9._~+/-]*/?|\./|/", "a suite (bookworm), nor a folder that ends with /"),
]
AptUri = Annotated[str, AfterValidator(_apt_uri)]
ShortName = Annotated[str, matching(r"[a-z0-9]+(-[a-z0-9]+)*", "a name of a-z, 0-9 and single - between them")]
Step = Annotated[str, AfterValidator(_step)]
AptName = Annotated[str, matching(r"[a-z0-9][a-z0-9+.-]+", "the name of a distribution package")]
EnvName = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]
LabelName = Annotated[
    str,
    matching(r"[a-z0-9]+([._/-][a-z0-9]+)*", "the name of a label (lower case, digits, and . _ - / between them)"),
]
Line = Annotated[str, AfterValidator(one_line)]
Source = Annotated[str, AfterValidator(_source)]
Target = Annotated[str, AfterValidator(_target)]
BaseName = Annotated[str, matching(BASE, "a base: write distro:bookworm, image:debian:bookworm-slim or cuda:devel")]
Pep508 = Annotated[str, AfterValidator(_requirement)]
