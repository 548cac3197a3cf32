"""The Dockerfiles that imagekit is compared with, for the same lock: what a careful person writes by hand with uv, and
what the articles show with pip. Both install the same wheels by the same hashes and compile bytecode."""

from __future__ import annotations

from pathlib import Path

from imagekit import render
from imagekit.lock.model import Lock
from imagekit.plan import group_of, system_packages

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


def groups(lock: Lock, folder: Path) -> None:
    """The same in three stages by rate of change, each a layer that does not depend on those below (`COPY --link`)."""
    requirements(lock, folder)
    lines = {line.partition("==")[0]: line for line in (folder / "requirements.txt").read_text().splitlines()}
    parts = {"cuda": ("cuda", "torch"), "heavy": ("heavy",), "": ("rest",)}
    for name, of in parts.items():
        mine = [lines[p.name] for p in lock.packages if p.name in lines and group_of(p, lock.resolution.wins) in of]
        (folder / f"{name}{'-' if name else ''}requirements.txt").write_text("".join(f"{line}\n" for line in mine))
    build = lock.resolution.builds[0]
    stages = "".join(f"""\
FROM tools AS {name or "rest"}
COPY {name}{"-" if name else ""}requirements.txt /requirements.txt
RUN {MOUNTS} --mount=type=cache,target=/root/.cache/uv CC="cc -mavx2" CFLAGS=-g0 \\
    uv pip install -q --python /opt/venv/bin/python --no-deps --compile-bytecode -r /requirements.txt
""" for name in parts)  # fmt: skip
    (folder / "Dockerfile").write_text(f"""\
FROM {render.base_reference(lock)} AS system
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends {" ".join(system_packages(lock))} \\
    && rm -rf /var/lib/apt/lists/*
FROM system AS tools
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip {" ".join(build.apt_build)}
COPY tools.txt /
RUN {MOUNTS} PIP_CERT=/etc/ssl/certs/ca-certificates.crt \\
    python3 -m pip install -q --break-system-packages --require-hashes -r /tools.txt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_LINK_MODE=copy
RUN uv venv -q /opt/venv
{stages}FROM system
COPY --link --from=cuda /opt/venv /opt/venv
COPY --link --from=heavy /opt/venv /opt/venv
COPY --link --from=rest /opt/venv /opt/venv
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
