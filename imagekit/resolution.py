"""What was chosen, and why: the answer to a profile. Data only; the deciding is in `imagekit.compat`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from imagekit.foundation import Foundation


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(_Model):
    """The image that everything stands on. `distro` bases are made from distribution packages by name."""

    kind: str
    """distro | image"""
    name: str
    """The suite (bookworm) of a distro base; the reference of an image."""
    digest: str = ""
    """Manifest digest of an image base; empty for a distro base, whose versions are in each build's record."""
    packages: tuple[str, ...] = ()
    """Distribution packages a distro base is made of."""
    found: Foundation | None = None
    """What an image base said of itself when it was locked; None when it could not be had then."""


class Want(_Model):
    """One thing that is given to the package resolver."""

    requirement: str
    """PEP 508."""
    why: str
    """The profile, wish or fact that asked for it."""
    index: str = "pypi"
    hashes: tuple[str, ...] = ()
    """sha256 of the files that would do, where a requirements file names them."""


class Reason(_Model):
    subject: str
    value: str
    because: str
    fact: str = ""


class SourceBuild(_Model):
    """How a package that has no usable wheel is built, once."""

    package: str
    versions: str = ""
    """PEP 440 range that the recipe was written for."""
    requires: tuple[str, ...] = ()
    """Its run-time requirements (PEP 508), so that locking need not run its setup.py to ask."""
    env: dict[str, str] = Field(default_factory=dict)
    apt_build: tuple[str, ...] = ()
    apt_runtime: tuple[str, ...] = ()
    cpu_level: str = ""
    formats: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    """Modules in CUDA that are compiled with it. The build then has torch, and nvcc in `cuda_home`."""
    architectures: tuple[str, ...] = ()
    """What `ops` are compiled for, such as sm_90."""
    cuda_home: str = ""
    """Path of the toolkit in the build stage: the base's, or that of `build_requires`."""
    build_requires: tuple[str, ...] = ()
    """Wheels that the build needs on top of those that the package asks for (PEP 508)."""


class GitSource(_Model):
    """A package that comes from a git repository. Its row in `builds` says how it is built."""

    package: str
    git: str
    """Address of the repository, without a login."""
    ref: str
    """Tag, branch or commit."""
    version: str = ""
    """Empty where its pyproject.toml is to say it."""
    requires: tuple[str, ...] | None = None
    """Its run-time requirements (PEP 508); None where its pyproject.toml is to say them."""
    build_requires: tuple[str, ...] = ()
    """On top of those of its pyproject.toml."""
    why: str
    """The profile, overlay or requirements file that names it."""


class AptSource(_Model):
    """An archive of distribution packages that an overlay names. It stays in the image."""

    name: str
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    key: str
    """File in /etc/apt/keyrings."""
    sha256: str
    """Of that file."""


class Step(_Model):
    """A shell line of an overlay, run as root while building."""

    overlay: str
    number: int
    """From 1, in its overlay."""
    line: str


class Resolution(_Model):
    profile: str
    torch: str
    cuda: str
    """CUDA that the torch wheel was built with, such as 12.1."""
    variant: str
    """The wheel's local version, such as cu121."""
    torch_index: str = "pypi"
    python: str
    os: str
    """Debian 12."""
    glibc: str
    arch: str = "amd64"
    base: Base
    wants: tuple[Want, ...]
    constraints: tuple[Want, ...] = ()
    replace: dict[str, str] = Field(default_factory=dict)
    wins: tuple[str, ...] = ()
    """Packages whose files stay where others bring different ones of the same name."""
    builds: tuple[SourceBuild, ...] = ()
    sources: tuple[GitSource, ...] = ()
    apt: tuple[str, ...] = ()
    pip_wheel: str = "python3-pip-whl"
    """Distribution package that has pip as a wheel: what the builder stage starts with."""
    features: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    expects: dict[str, object] = Field(default_factory=dict)
    gpu_architectures: tuple[str, ...] = ()
    """Compiled into the torch wheel, such as sm_90."""
    min_driver: str = ""
    """Linux driver that CUDA minor-version compatibility asks for."""
    cpu_level: str = "x86-64"
    overlays: tuple[str, ...] = ()
    apt_sources: tuple[AptSource, ...] = ()
    trust: dict[str, str] = Field(default_factory=dict)
    """File in /usr/local/share/ca-certificates -> sha256 of the certificate (DER)."""
    starts: tuple[str, ...] = ()
    """Programs of overlays that wrap the command, outermost first; paths in the image."""
    steps: tuple[Step, ...] = ()
    checks: tuple[str, ...] = ()
    """Own checks: owner and path."""
    differs: tuple[str, ...] = ()
    """Tag suffixes: one for each axis that is not the profile's default."""
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    """Lines for the user: preferences given up for a wish, warnings from the facts."""
