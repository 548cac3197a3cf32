"""What a field of a profile may hold. Names and values are checked here because they reach a Dockerfile."""

from __future__ import annotations

import re
from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import BeforeValidator


def _version(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'YAML reads {value} as a number, so 3.10 would become 3.1: write it in quotes, "{value}"')
    return value


def _requirement(value: Any) -> Any:
    if isinstance(value, str):
        try:
            Requirement(value)
        except InvalidRequirement as error:
            raise ValueError(f"{value!r} is not a requirement (PEP 508): {str(error).splitlines()[0]}") from None
        if Requirement(value).url:
            raise ValueError(f"{value!r} names a URL; a profile never names a source, a site file does")
    return value


def _apt_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", value):
        raise ValueError(f"{value!r} is not the name of a distribution package")
    return value


def _env_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"{value!r} is not the name of an environment variable")
    return value


def _label_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]+([._/-][a-z0-9]+)*", value):
        raise ValueError(f"{value!r} is not the name of a label (lower case, digits, and . _ - / between them)")
    return value


def _one_line(value: Any) -> Any:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _target(value: Any) -> Any:
    """Where a file goes in the image: absolute, and not into what proves the image."""
    if isinstance(value, str):
        plain = re.fullmatch(r"/[A-Za-z0-9_.+@%,=/-]*", value) and ".." not in value.split("/")
        if not plain:
            raise ValueError(f"{value!r} is not an absolute path of letters, digits and . _ + @ % , = -")
        if value.rstrip("/") in ("", "/opt") or value.startswith(("/opt/imagekit", "/opt/venv")):
            raise ValueError(f"{value!r} belongs to imagekit")
    return value


def _source(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith("/") or ".." in value.split("/")):
        raise ValueError(f"{value!r} is outside of the profile's folder")
    return value


def _apt_uri(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(r"https?://[A-Za-z0-9._~:/?%@+=,\[\]-]+", value):
            raise ValueError(f"{value!r} is not an http or https address")
        if "@" in value.split("/")[2]:
            raise ValueError("an address with a user or password in it would stay in the image")
    return value


def _apt_suite(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~+/-]*/?|\./|/", value):
        raise ValueError(f"{value!r} is not a suite (bookworm), nor a folder that ends with /")
    return value


def _apt_component(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~+/-]*", value):
        raise ValueError(f"{value!r} is not a component (main)")
    return value


def _short_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise ValueError(f"{value!r} is not a name of a-z, 0-9 and single - between them")
    return value


def _step(value: Any) -> Any:
    value = _one_line(value)
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty")
    return value


def _base(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"(distro|image|cuda):[A-Za-z0-9][A-Za-z0-9._:/@-]*", value):
        raise ValueError(f"{value!r} is not a base: write distro:bookworm, image:debian:bookworm-slim or cuda:devel")
    return value


Version = Annotated[str, BeforeValidator(_version)]
AptComponent = Annotated[str, BeforeValidator(_apt_component)]
AptSuite = Annotated[str, BeforeValidator(_apt_suite)]
AptUri = Annotated[str, BeforeValidator(_apt_uri)]
ShortName = Annotated[str, BeforeValidator(_short_name)]
Step = Annotated[str, BeforeValidator(_step)]
AptName = Annotated[str, BeforeValidator(_apt_name)]
EnvName = Annotated[str, BeforeValidator(_env_name)]
LabelName = Annotated[str, BeforeValidator(_label_name)]
Line = Annotated[str, BeforeValidator(_one_line)]
Source = Annotated[str, BeforeValidator(_source)]
Target = Annotated[str, BeforeValidator(_target)]
BaseName = Annotated[str, BeforeValidator(_base)]
Pep508 = Annotated[str, BeforeValidator(_requirement)]
