"""imagekit.toml: its sections and keys. docs/site.md says what each is for."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field

from imagekit.site import values


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Index(_Model):
    url: values.IndexUrl = ""
    """May hold {variant}, such as cu121."""
    only: list[values.Pattern] = Field(default_factory=list)
    """Names (shell patterns) that come from here and nowhere else."""
    auth: values.Auth = ""
    """Where the login is: env:NAME, netrc or keyring."""
    user: values.User = ""
    """The user of the login, where the reference does not say it."""

    def owns(self, package: str) -> bool:
        return any(fnmatch.fnmatchcase(package, canonicalize_name(pattern)) for pattern in self.only)


class Registry(_Model):
    push: values.Repository = ""
    """Repository for staging."""
    prod: values.Repository = ""
    """Repository for production."""
    login: Literal["docker"] = "docker"
    """docker: docker's own credential store."""
    plain: list[values.RegistryHost] = Field(default_factory=list)
    """Registries without TLS, HOST[:PORT]; those of this machine need no word."""


class Tags(_Model):
    repository: values.Line = "pytorch"
    """{profile} is replaced; tag.py checks what comes out."""
    bare: values.Line = "video-llm"
    """The profile that owns pytorch:<ver>-cuda<xx>; "" = nobody."""


class Tls(_Model):
    ca: values.File = ""
    """A PEM bundle on this machine, for fetching; mounted into builds, never copied."""


class Bases(_Model):
    default: values.Base = ""
    """The base where neither profile nor command line names one."""
    map: dict[values.Repository, values.Reference] = Field(default_factory=dict)
    """Repository -> repository, for image: bases."""


class Apt(_Model):
    mirror: values.AptUrl = ""
    """The archive that stands for the distribution's own while building; {distribution} is debian or ubuntu."""
    security: values.AptUrl = ""
    """The security archive; "" = the mirror's address with -security."""


class Proxy(_Model):
    http: values.ProxyUrl = ""
    """http, https or socks5."""
    https: values.ProxyUrl = ""
    """http, https or socks5."""
    no_proxy: values.NoProxy = ""
    """Hosts and domains that are asked directly."""


class Hub(_Model):
    endpoint: values.WebUrl = ""
    """A mirror of the model hub, for containers and not for building."""


class Build(_Model):
    network: Literal["default", "host", "none"] = "default"
    """Network of build steps."""
    jobs: int = Field(default=0, ge=0, le=1024)
    """Builds at once; 0 = not limited here."""
    disk_gb: int = Field(default=0, ge=0)
    """GB that builds together may take; 0 = not limited here."""
    cache_gb: int = Field(default=40, ge=0)
    """GB of wheels, layers and unpacked systems that stay on this machine; those used longest ago go first."""

    @property
    def cache(self) -> int:
        """`cache_gb` in bytes."""
        return self.cache_gb * 10**9


class Pool(_Model):
    """One kind of node of the fleet."""

    gpu: values.Gpu
    """Model, as nvidia-smi or the facts write it."""
    driver: values.Driver
    """Version of the Linux driver, "535.183.01"."""
    nodes: int = Field(default=1, ge=1)
    """How many there are."""
    rdma: bool = False
    """Whether they have InfiniBand or RoCE."""


class Promotion(_Model):
    """What an image must have proven to get into a repository."""

    repository: values.Repository = ""
    """Where that is; `promote.prod` is at `registry.prod` where it says nothing."""
    stages: list[Literal["static", "cpu", "deep", "gpu", "multi-gpu"]] = Field(default_factory=list)
    """Stages of the proof that must have passed."""
    gpus: list[values.Gpu] = Field(default_factory=list)
    """Models that it must have passed on."""
    max_age: values.Age = ""
    """How old the proof may be: 12h, 7d, 2w."""


class Runner(_Model):
    """Nodes of a Kubernetes cluster on which images are proven."""

    context: values.Line = ""
    """Of the kubeconfig; the current one where it is not said."""
    namespace: values.Line = ""
    """Of the cluster, where Jobs are made; the context's own where it is not said."""
    selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes, as {"nvidia.com/gpu.product" = "NVIDIA-H100-80GB-HBM3"}."""
    gpus: int = Field(default=1, ge=0, le=64)
    """How many the proof gets."""
    resource: values.Line = "nvidia.com/gpu"
    """What the cluster calls a GPU."""
    memory: values.Line = "16Gi"
    """Limit of the container, /dev/shm in it."""
    tolerate: list[values.Line] = Field(default_factory=list)
    """Keys of taints that the nodes have."""
    pull_secret: values.Line = ""
    """Of the namespace, for the registry."""


class Sign(_Model):
    key: values.Line = ""
    """The key that images are signed with when they are pushed: a file, or what cosign takes for one."""
    public: values.Line = ""
    """The key that signatures are compared with."""


class Scan(_Model):
    fail: Literal["critical", "high", "medium", "low", "unknown", ""] = "critical"
    """The least severity of a known vulnerability that counts; "" = none does."""
    unfixed: bool = False
    """Whether one counts that there is no fix for yet."""
    allow: values.File = ""
    """File of those that are accepted, each with a reason and a last day."""


class Benchmarks(_Model):
    floors: dict[values.Gpu, dict[str, float]] = Field(default_factory=dict)
    """GPU model, or cpu -> figure, as "resnet18/cuda compiled training" -> what it must reach."""


class Settings(_Model):
    registry: Registry = Registry()
    """Where images go."""
    tags: Tags = Tags()
    """How images are named."""
    indexes: dict[values.IndexName, Index] = Field(default_factory=dict)
    """Where Python packages come from; pypi is the default index, pytorch that of torch builds."""
    tls: Tls = Tls()
    """Whose certificates are trusted while fetching."""
    base: Bases = Bases()
    """What images stand on."""
    apt: Apt = Apt()
    """Where distribution packages come from while building."""
    proxy: Proxy = Proxy()
    """Proxies, here and while building."""
    hub: Hub = Hub()
    """Where containers get weights."""
    build: Build = Build()
    """How builds run."""
    fleet: dict[values.Name, Pool] = Field(default_factory=dict)
    """Pools of nodes that images run on."""
    promote: dict[values.Name, Promotion] = Field(default_factory=dict)
    """Repository -> what must be proven to get there."""
    runners: dict[values.Name, Runner] = Field(default_factory=dict)
    """Nodes that prove images: `imagekit test IMAGE --on NAME`."""
    sign: Sign = Sign()
    """Signatures, by cosign."""
    scan: Scan = Scan()
    """Known vulnerabilities, by trivy."""
    bench: Benchmarks = Benchmarks()
    """How fast images must be."""


Path = tuple[str, ...]
"""A key: ("indexes", "pypi", "url")."""


def leaves(model: type[BaseModel] = Settings, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """(key, type) of every key of fixed name."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*above, name))
        elif get_origin(kind) is not dict:
            yield (*above, name), kind


def near(path: Path) -> list[str]:
    """The names that could stand where the last part of a key stands."""
    model: Any = Settings
    for part in path[:-1]:
        if get_origin(model) is dict:
            model = get_args(model)[1]
        elif isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[part].annotation
        else:
            return []
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
