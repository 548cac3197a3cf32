"""What an image offers as a base, as the image itself says: its distribution, glibc, Python, torch, CUDA, environment.

A name tells little (`company/base:2026.1`), so the image is asked, once, when it is locked.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict


class Foundation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Image id: sha256 of its configuration."""
    digest: str = ""
    """Manifest digest that the registry of its name gave; empty for an image that was never in one."""
    os: str = ""
    """ID of /etc/os-release: debian, ubuntu, alpine."""
    version: str = ""
    """VERSION_ID of /etc/os-release: 12, 22.04."""
    glibc: str = ""
    """2.36; empty where the C library is another one."""
    apt: bool = False
    """Whether apt-get is there."""
    pythons: dict[str, str] = {}
    """Interpreter -> minor version: {"/usr/bin/python3": "3.11"}."""
    torch: dict[str, str] = {}
    """Folder that a torch is installed in -> its version."""
    cuda: tuple[str, ...] = ()
    """Toolkits in /usr/local: 12.1."""
    nvcc: bool = False
    user: str = ""
    env: dict[str, str] = {}
    """Its variables that decide about GPUs and Python: NVIDIA_*, LD_LIBRARY_PATH, PYTHONPATH, PIP_*."""

    @property
    def root(self) -> bool:
        return self.user.split(":")[0] in ("", "0", "root")


SCRIPT = r"""
if [ -r /etc/os-release ]; then . /etc/os-release; fi
echo "os=$ID"; echo "version=$VERSION_ID"
echo "glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/glibc //')"
command -v apt-get >/dev/null 2>&1 && echo apt=1
for python in /usr/bin/python3 /usr/local/bin/python3 /opt/conda/bin/python3 /opt/venv/bin/python3; do
    [ -x $python ] && echo "python=$python $($python -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
done
for file in $(find / -xdev -path /proc -prune -o -path '*-packages/torch/version.py' -print 2>/dev/null); do
    echo "torch=${file%/version.py} $(sed -n "s/^__version__ *= *['\"]\(.*\)['\"]/\1/p" $file)"
done
for folder in /usr/local/cuda-[0-9]*.[0-9]*; do [ -d "$folder" ] && echo "cuda=${folder#/usr/local/cuda-}"; done
[ -x /usr/local/cuda/bin/nvcc ] || command -v nvcc >/dev/null 2>&1 && echo nvcc=1
exit 0
"""
"""For /bin/sh of any distribution; prints key=value lines."""

_KEPT = re.compile(r"NVIDIA_.*|LD_LIBRARY_PATH|PYTHONPATH|PYTHONHOME|PIP_.*")


def read(reference: str, image: dict[str, object], said: str) -> Foundation:
    """`image`: what `docker inspect` tells of a reference; `said`: what SCRIPT printed."""
    rows = [line.partition("=")[::2] for line in said.splitlines() if "=" in line]
    one = dict(rows)
    pairs = [(key, *value.partition(" ")[::2]) for key, value in rows]
    config = image.get("Config") or {}
    assert isinstance(config, dict)
    env = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    return Foundation(
        id=str(image["Id"]),
        digest=digest_of(reference, image),
        os=one.get("os", ""),
        version=one.get("version", ""),
        glibc=one.get("glibc", ""),
        apt="apt" in one,
        pythons={name: version for key, name, version in pairs if key == "python"},
        torch={name: version for key, name, version in pairs if key == "torch"},
        cuda=tuple(value for key, value in rows if key == "cuda"),
        nvcc="nvcc" in one,
        user=str(config.get("User") or ""),
        env={key: value for key, value in env.items() if _KEPT.fullmatch(key)},
    )


def digest_of(reference: str, image: dict[str, object]) -> str:
    """The manifest digest by which the registry of `reference` knows an image; empty when it did not come from there.

    A local tag may name any image: only a digest of the repository that was asked for leads back to it.
    """
    digests = image.get("RepoDigests") or []
    assert isinstance(digests, list)
    pairs = (str(entry).partition("@")[::2] for entry in digests)
    return next((digest for name, digest in pairs if _repository(name) == _repository(reference)), "")


def _repository(reference: str) -> str:
    """Without tag and digest; Docker Hub's names in their short form, as the engine tells them."""
    name = reference.partition("@")[0]
    path, slash, last = name.rpartition("/")
    name = f"{path}{slash}{last.partition(':')[0]}"
    return name.removeprefix("docker.io/").removeprefix("library/")
