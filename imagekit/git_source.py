"""A package that a profile or an overlay takes from a git repository, as it is written there."""

from __future__ import annotations

from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from packaging.version import Version as Parsed
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from imagekit import repository
from imagekit.family import FAMILY
from imagekit.forms import in_quotes, matching
from imagekit.profile_fields import AptName, Pep508
from imagekit.strict_yaml import Document

CHOSEN = (*FAMILY, "pip")
"""Packages whose version is imagekit's to choose."""


def version(value: str) -> str:
    try:
        Parsed(value)
    except InvalidVersion:
        raise ValueError(f"{value!r} is not a version (PEP 440)") from None
    return value


def not_chosen(value: str) -> str:
    if canonicalize_name(value) in CHOSEN:
        raise ValueError(f"{value} is chosen by imagekit and comes from an index")
    return value


def given(value: Any) -> Any:
    if value is None:
        raise ValueError("is empty; give it a value or delete the line")
    return value


Url = Annotated[str, AfterValidator(repository.url)]
Ref = Annotated[str, BeforeValidator(in_quotes), AfterValidator(repository.ref)]
Version = Annotated[str, BeforeValidator(in_quotes), AfterValidator(version)]
Name = Annotated[
    str,
    matching(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "the name of a package"),
    AfterValidator(not_chosen),
]


class GitSource(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    git: Url
    """Repository: https, http or ssh, without a password."""
    ref: Ref
    """Tag, branch, or commit of 40 digits. The lock has the commit."""
    version: Version = ""
    """The package's version, where its pyproject.toml does not say it as text."""
    requires: Annotated[list[Pep508] | None, BeforeValidator(given)] = None
    """What it needs to run, in place of what its pyproject.toml says."""
    build_requires: list[Pep508] = Field(default_factory=list)
    """What its build needs, besides what its pyproject.toml says."""
    apt_build: list[AptName] = Field(default_factory=list)
    """Distribution packages for the stage that builds it."""


def twice(document: Document) -> list[str]:
    """Packages that one file has under `packages` and under `sources`."""
    listed = set()
    for line in document.raw.get("packages", []):
        try:
            listed.add(canonicalize_name(Requirement(line).name))
        except InvalidRequirement:
            continue  # told by the model
    return [
        f"{document.where('sources', name)}: sources: {name} is in packages as well; one of them says where it is from"
        for name in document.raw.get("sources", {}) if canonicalize_name(name) in listed
    ]  # fmt: skip
