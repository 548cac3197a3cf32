"""The image contract (docs/image.md): what every image has and tells, whatever builds it.

Its environment, its labels, and /opt/imagekit: the lock, the facts for preflight and proof, the program that proves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from imagekit import __version__, resources
from imagekit.lock.model import Lock, dump
from imagekit.plan import group_of

ENV = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    # an arbitrary UID has no passwd entry; torch.compile asks getpass, which reads these first
    "HOME": "/home/imagekit",
    "USER": "imagekit",
    "LOGNAME": "imagekit",
    "VIRTUAL_ENV": "/opt/venv",
    "PYTHONUNBUFFERED": "1",
    "TORCH_HOME": "/cache/torch",
    "HF_HOME": "/cache/huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
    "TRITON_CACHE_DIR": "/cache/triton",
    "XDG_CACHE_HOME": "/cache/xdg",
    "PIP_CONSTRAINT": "/opt/imagekit/constraints.txt",
    "UV_CONSTRAINT": "/opt/imagekit/constraints.txt",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
"""A profile's env comes on top."""

USER = "1000:0"
"""Numeric, so that Kubernetes can check runAsNonRoot; group 0, so that any other UID works as well."""

START = ("/usr/bin/tini", "-g", "--", "/opt/imagekit/start")
"""What a container runs its command under."""

SHARED = ("workspace", "cache", "home/imagekit")
"""Folders that group 0 writes to, mode 2775: a layer that lists one sets its mode anew."""

BASE = "io.imagekit.base"
"""Label of an image on a base that imagekit made: the suite of the distribution."""

CACHES = ("TORCH_HOME", "HF_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644
    link: str = ""
    """Target, for a symbolic link."""


def labels(lock: Lock) -> dict[str, str]:
    """What the image tells of itself, readable without running it (`docker inspect`, a registry)."""
    r = lock.resolution
    facts = {
        "profile": r.profile, "lock": f"sha256:{lock.digest}", "torch": r.torch, "cuda": r.cuda, "variant": r.variant,
        "python": r.python, "gpu-architectures": " ".join(r.gpu_architectures), "min-driver": r.min_driver,
        "glibc": r.glibc, "cpu-level": r.cpu_level, "os": r.os, "features": " ".join(r.features),
        "version": __version__,
        "suffix": " ".join(r.differs), "overlays": " ".join(r.overlays),
        "trust": " ".join(f"{name}=sha256:{digest}" for name, digest in sorted(r.trust.items())),
    }  # fmt: skip
    own = {f"io.imagekit.{key}": value for key, value in facts.items() if value}
    title = {"org.opencontainers.image.title": f"pytorch {r.torch} CUDA {r.cuda} {r.profile}"}
    return {**r.labels, **title, **own}


def told(labels: Mapping[str, object]) -> dict[str, str]:
    """What imagekit's labels say, without `io.imagekit.`; of an image of somebody else, nothing."""
    found = {
        key.removeprefix("io.imagekit."): text
        for key, text in labels.items()
        if key.startswith("io.imagekit.") and isinstance(text, str)
    }
    return found if "profile" in found else {}


def files(lock: Lock, *, pyc: bool = True) -> dict[str, File]:
    """/opt/venv's own files and /opt/imagekit: the lock, the facts for preflight and proof, the smoke program.

    `pyc`: the image has bytecode of its packages.
    """
    r = lock.resolution
    home = "rootfs/opt/imagekit"
    constraints = "".join(f"{p.name}=={p.version}\n" for p in lock.packages)
    found = {
        "rootfs/opt/venv/pyvenv.cfg": File(b"home = /usr/bin\ninclude-system-site-packages = false\n"),
        "rootfs/opt/venv/bin/python": File(b"", link="/usr/bin/python3"),
        "rootfs/opt/venv/bin/python3": File(b"", link="python"),
        f"rootfs/opt/venv/bin/python{r.python}": File(b"", link="python"),
        f"rootfs/opt/venv/lib/python{r.python}": File(b"", link="python"),
        f"{home}/lock.json": File(_image_lock(lock)),
        f"{home}/image.json": File(_image_facts(lock, pyc)),
        f"{home}/constraints.txt": File(constraints.encode()),
    }
    smoke = resources.smoke()
    for path in sorted(smoke.rglob("*")):
        name = path.relative_to(smoke).as_posix()
        left_out = ("__init__.py", *_not_for(r.features))
        if path.is_file() and "__pycache__" not in name and name not in left_out:
            program = name in _PROGRAMS
            place = f"{home}/{name}" if program else f"{home}/smoke/{name}"
            found[place] = File(path.read_bytes(), 0o755 if program else 0o644)
    return found


_PROGRAMS = {"start": "", "sshd": "dev"}
"""What is run by its name, and the feature that it belongs to."""


def _not_for(features: tuple[str, ...]) -> list[str]:
    return [name for name, feature in _PROGRAMS.items() if feature and feature not in features]


def _image_lock(lock: Lock) -> bytes:
    """The lock as it is, and for each package what the proof asks: its group, whether it has files of its own."""
    raw = json.loads(dump(lock))
    r = lock.resolution
    for entry, package in zip(raw["packages"], lock.packages, strict=True):
        entry |= {"group": group_of(package, r.wins)}
        entry |= {"standin": package.kind == "standin", "source": package.kind == "sdist"}
    raw |= {"torch": r.torch, "cuda": r.cuda, "variant": r.variant, "python": r.python, "replace": r.replace}
    return (json.dumps(raw, indent=1, sort_keys=True) + "\n").encode()


def _image_facts(lock: Lock, pyc: bool) -> bytes:
    r = lock.resolution
    torch = lock.package("torch")
    builds = [build for build in r.builds if lock.package(build.package)]
    formats = [form for build in builds for form in build.formats]
    ops: dict[str, object] = {module: build.architectures for build in builds for module in build.ops}
    facts = {
        "profile": r.profile, "torch": r.torch, "cuda": r.cuda or None, "python": r.python, "glibc": r.glibc,
        "gpu_architectures": r.gpu_architectures, "min_driver": r.min_driver, "cpu_level": r.cpu_level,
        "features": r.features, "expects": {**r.expects, "formats": formats}, "user": USER,
        "caches": ["/cache", *(ENV[name] for name in CACHES)],
        "standin_torch": torch is not None and torch.size < 1_000_000,
    }  # fmt: skip
    facts |= {"ops": ops} if ops else {}
    facts |= {} if pyc else {"bytecode": False}
    facts |= {"trust": sorted(r.trust)} if r.trust else {}
    facts |= {"starts": r.starts} if r.starts else {}
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()
