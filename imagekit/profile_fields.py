"""What a field of a profile may hold. Names and values are checked here because they reach a Dockerfile."""

from __future__ import annotations

import re
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, model_validator

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
PackageName = Annotated[str, matching(r"(?i:[a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9])", "the name of a package")]
Pep508 = Annotated[str, AfterValidator(_requirement)]


class Machine(BaseModel):
    """A GPU with its driver, or a file in which a cluster or a machine says what it has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gpu: Line = ""
    """Model, "A100", or architecture, "sm_80"."""
    driver: Annotated[str, matching(r"(\d{3,4}(\.\d{1,3}){0,2})?", "a driver version (535.183.01)")] = ""
    """Version of the Linux driver; without it, drivers are not compared."""
    nodes: Source | None = None
    """File in this folder: `kubectl get nodes -o json`, or `nvidia-smi -q -x`."""

    @model_validator(mode="after")
    def _one(self) -> Machine:
        if bool(self.gpu) == bool(self.nodes):
            raise ValueError('needs `gpu:`, as {gpu: A100, driver: "535.183.01"}, or `nodes:` with a file')
        if self.nodes and self.driver:
            raise ValueError("the file of `nodes:` says the drivers")
        return self


def _not_empty(value: list[str | Machine]) -> list[str | Machine]:
    if not value or "" in value:
        raise ValueError("is empty; name a pool of the site's fleet or a GPU, or delete the line")
    return value


Targets = Annotated[
    list[
        Annotated[
            Annotated[Line, Tag("pool")] | Annotated[Machine, Tag("machine")],
            Discriminator(lambda value: "pool" if isinstance(value, str) else "machine"),
        ]
    ],
    AfterValidator(_not_empty),
]
