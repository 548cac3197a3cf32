"""What a row of the facts is: a release of torch, a toolkit, a GPU, a distribution, a constraint, a recipe, a feature.

Versions are strings as their projects write them, ranges are PEP 440 specifiers ("" is any version), requirements are
PEP 508. `None` means that no source was found: it is never a "no".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Effect = Literal["refuse", "warn", "add"]

FROM_INDEX = "index"
"""The one source of a row that is in no file of the facts: somebody allowed a torch that they do not know."""

FROM_IMAGE = "image"
"""The one source of a build whose architectures were read out of an image's libraries."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One build of a torch release, for one CUDA."""

    name: str
    """As in the index: "cu121"."""
    cuda: str
    """The toolkit it is built with: "12.1"."""
    pypi_default: bool
    """Whether this is the build that PyPI serves; exactly one of a release is."""
    official: bool | None
    """Whether PyTorch announces it; the others are on its index without a promise. None: not known."""
    cudnn: str | None
    nccl: str | None
    gpu_architectures: tuple[str, ...] | None
    """Architectures with compiled code: ("sm_50", ...). Code for sm_XY runs on every newer GPU of major X."""
    ptx: tuple[str, ...] | None
    """PTX that a newer GPU can compile for itself: ("compute_120",). The builds on PyPI have none."""
    cxx11_abi: bool | None
    glibc: str
    """The oldest glibc that it runs on: "2.28"."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Release:
    """A torch release, for Linux on x86_64 (Pythons without the free-threaded ones)."""

    version: str
    released: str | None
    """Day of the first upload, UTC: "2024-09-04"."""
    requires_python: str
    pythons: tuple[str, ...]
    """The Pythons that there are wheels for, oldest first: ("3.8", ..., "3.12")."""
    glibc: str
    torchvision: str
    torchaudio: str
    triton: str | None
    """The requirement in torch's metadata, marker included; None when it has none."""
    setuptools: str | None
    """As `triton`."""
    numpy_abi: str | None
    """The range of numpy that torch was built for: "<2", or "" for both."""
    cxx_standard: str | None
    """What torch's headers need of a C++ compiler: "c++17"."""
    variants: tuple[Variant, ...]
    """Ascending by CUDA."""
    sources: tuple[str, ...]
    note: str

    def variant(self, name: str) -> Variant | None:
        """The build called `name` ("cu121"), or None."""
        return next((variant for variant in self.variants if variant.name == name), None)

    @property
    def pypi_variant(self) -> Variant:
        """The build that PyPI serves."""
        return next(variant for variant in self.variants if variant.pypi_default)


@dataclass(frozen=True, slots=True)
class ToolkitImage:
    """One version of nvidia/cuda."""

    version: str
    flavours: Mapping[str, tuple[str, ...]]
    """"base", "runtime", "devel", "cudnn8-devel", ... -> the Ubuntu releases it exists for. Empty: not verified."""
    cudnn: str | None
    nccl: str | None
    sources: tuple[str, ...]
    note: str

    def tags(self, flavour: str) -> tuple[str, ...]:
        """The tags of a flavour: ("12.1.1-cudnn8-devel-ubuntu22.04", ...)."""
        return tuple(f"{self.version}-{flavour}-ubuntu{release}" for release in self.flavours.get(flavour, ()))


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A CUDA toolkit (Linux, x86_64)."""

    version: str
    """ "12.1"."""
    driver: str | None
    """The driver shipped with the GA release; all features of the toolkit need at least this one."""
    driver_updates: Mapping[str, str]
    """The same for its update releases: {"u1": "570.124.06"}."""
    compat_driver: str
    """The oldest driver that runs programs of this toolkit, through minor-version compatibility."""
    host_gcc: str | None
    """Major versions of gcc that nvcc accepts: "<=12"."""
    host_clang: str | None
    min_sm: str | None
    """The oldest architecture that nvcc compiles for: "sm_50"."""
    max_sm: str | None
    images: tuple[ToolkitImage, ...]
    wheels: tuple[str, ...]
    """Requirements (PEP 508) of wheels that hold its nvcc and what nvcc calls; empty: an index has none."""
    wheels_home: str | None
    """Folder of site-packages that they make, laid out as a toolkit: "nvidia/cu13"."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU model."""

    name: str
    aliases: tuple[str, ...]
    """What people and nvidia-smi write instead."""
    compute_capability: str
    """ "8.6"."""
    sm: str
    """ "sm_86"."""
    architecture: str
    min_cuda: str
    """The first toolkit that compiles for it."""
    max_cuda: str | None
    """The last toolkit that compiles for it; None when there is no last one yet."""
    last_driver_branch: str | None
    """The last driver branch that runs it: "580"; None when there is no last one yet, or no source."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class DriverBranch:
    """A branch of NVIDIA's data center driver for Linux."""

    branch: str
    """ "535"."""
    kind: str | None
    """long-term, production or feature."""
    ends: str | None
    """The last month of support: "2026-06"."""
    over: str | None
    """A day on which it was supported no longer, where the month is not known: "2025-08-04"."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """A distribution's release that an image can stand on."""

    id: str
    """ "debian" or "ubuntu", as in /etc/os-release."""
    version: str
    suite: str
    python: str
    """The minor of its python3: "3.11"."""
    glibc: str
    gcc: str
    """Major version of its default gcc."""
    ffmpeg: str | None
    pip_wheel: str
    """The package that has pip as a wheel in /usr/share/python-wheels."""
    end_of_support: str | None
    """Last day of free security support by its own team: "2026-07-11"."""
    end_of_extended_support: str | None
    """Last day of LTS (Debian) or ESM (Ubuntu)."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something that does not work together, or is missing without saying so."""

    id: str
    package: str
    versions: str
    """The row applies when `package` is chosen at one of these."""
    when: Mapping[str, str]
    """And when all of these hold: package -> range ("" = present at all), or `FACT_KEYS` -> range."""
    needs: tuple[str, ...]
    """PEP 508 requirements."""
    needs_apt: tuple[str, ...]
    """Names of distribution packages."""
    effect: Effect
    """add: needs become requirements. refuse: a chosen version outside needs is refused; without needs the combination
    itself. warn: the reason is printed when needs are not met; without needs always."""
    reason: str
    """One sentence, for users."""
    sources: tuple[str, ...]
    note: str


FACT_KEYS = frozenset({"python", "cuda", "glibc", "ffmpeg", "compute_capability"})
"""Keys of `Constraint.when` that are facts of the image and its fleet and not packages."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a package that exists as source only is built."""

    package: str
    versions: str
    requires: tuple[str, ...]
    """Its run-time requirements (PEP 508)."""
    env: Mapping[str, str]
    cpu_level: str
    """The x86-64 level that the result needs: "x86-64-v3"."""
    apt_build: Mapping[str, tuple[str, ...]]
    """suite -> what the build stage installs."""
    apt_runtime: Mapping[str, tuple[str, ...]]
    """suite -> what the image needs for the result to load."""
    formats: tuple[str, ...]
    """Image formats that the result reads and writes: ("jpeg", ...); the smoke program has a check for each."""
    ops: Mapping[str, str]
    """Its modules in CUDA that can be compiled with it -> the variable that asks for one:
    {"deepspeed.ops.adam.fused_adam_op": "DS_BUILD_FUSED_ADAM"}."""
    ops_env: Mapping[str, str]
    """On top of `env` where ops are compiled."""
    ops_requires: tuple[str, ...]
    """On top of `requires` where ops are compiled."""
    ops_build_requires: tuple[str, ...]
    """What builds them (PEP 508), besides a CUDA toolkit."""
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Feature:
    """One word in a profile: what it installs, sets and proves."""

    name: str
    about: str
    packages: tuple[str, ...]
    """PEP 508 requirements."""
    apt: Mapping[str, tuple[str, ...]]
    """suite -> package names; "any" for the suites that are not named."""
    env: Mapping[str, str]
    checks: tuple[str, ...]
    size_mb: int
    """Installed size of the apt packages and what they pull in, on bookworm, in MB."""
    sources: tuple[str, ...]
    note: str

    def apt_for(self, suite: str) -> tuple[str, ...]:
        """The packages to install on `suite`."""
        return self.apt.get(suite, self.apt["any"])
