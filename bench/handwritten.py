"""The Dockerfiles that imagekit is compared with, for the same lock: what a careful person writes by hand with uv, and
what the articles show with pip. Both install the same wheels by the same hashes and compile bytecode."""

from __future__ import annotations

from pathlib import Path

from imagekit import render
from imagekit.lock.model import Lock
from imagekit.plan import system_packages

MOUNTS = "--mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt"


def uv(lock: Lock, folder: Path) -> None:
    """One layer of packages, a cache mount for uv: the way of uv's own guide for Docker."""
    requirements(lock, folder)
    build = lock.resolution.builds[0]
    (folder / "Dockerfile").write_text(f"""\
FROM {render.base_reference(lock)}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends {" ".join(system_packages(lock))} \\
    python3-pip {" ".join(build.apt_build)} && rm -rf /var/lib/apt/lists/*
COPY tools.txt /
RUN {MOUNTS} PIP_CERT=/etc/ssl/certs/ca-certificates.crt \\
    python3 -m pip install -q --break-system-packages --require-hashes -r /tools.txt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_LINK_MODE=copy
RUN uv venv -q /opt/venv
COPY requirements.txt /
RUN {MOUNTS} --mount=type=cache,target=/root/.cache/uv CC="cc -mavx2" CFLAGS=-g0 \\
    uv pip install -q --python /opt/venv/bin/python --no-deps --compile-bytecode -r /requirements.txt
ENV PATH=/opt/venv/bin:$PATH
USER 1000:0
""")


def pip(lock: Lock, folder: Path) -> None:
    """The way of the articles: pip resolves what each RUN asks for, then pillow-simd takes pillow's place. The versions
    are held to those of the lock, so that both images have the same packages."""
    requirements(lock, folder)
    build = lock.resolution.builds[0]
    versions = {package.name: package.version for package in lock.packages}
    torch = f"torch=={versions['torch']} torchvision=={versions['torchvision']}"
    rest = "transformers accelerate av opencv-python-headless decord setuptools"
    install = "/opt/venv/bin/pip install -q --no-cache-dir -c /requirements.txt"
    (folder / "Dockerfile").write_text(f"""\
FROM {render.base_reference(lock)}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends {" ".join(system_packages(lock))} \\
    python3-pip python3-venv {" ".join(build.apt_build)} && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY requirements.txt /
RUN {MOUNTS} {install} {torch}
RUN {MOUNTS} {install} {rest}
RUN {MOUNTS} /opt/venv/bin/pip uninstall -q -y pillow && CC="cc -mavx2" CFLAGS=-g0 {install} pillow-simd
ENV PATH=/opt/venv/bin:$PATH
USER 1000:0
""")


def requirements(lock: Lock, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tools = "".join(f"{t.name}=={t.version} --hash=sha256:{t.hashes[0]}\n" for t in lock.tools)
    (folder / "tools.txt").write_text(tools)
    kept = [package for package in lock.packages if package.kind != "standin"]
    lines = [f"{package.name}=={package.version}\n" for package in kept]
    (folder / "requirements.txt").write_text("".join(lines))
