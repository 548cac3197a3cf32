"""An engine that is older than the C library in an image: its filter of system calls breaks what it does not know.

glibc tries a new system call and falls back where it is told "no such call" (ENOSYS). Filters that say "not permitted"
(EPERM) instead are taken at their word: no thread can be started, or files seem not to be there.

- glibc 2.34 starts threads by clone3; Docker up to 20.10.9 answers EPERM (https://github.com/moby/moby/issues/42680,
  https://github.com/AkihiroSuda/clone3-workaround).
- glibc 2.33 asks for files by faccessat2 (https://github.com/moby/moby/pull/41353), which a libseccomp before 2.4 does
  not know (https://github.com/docker-library/python/issues/676).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from imagekit.compat import facts
from imagekit.doctor.check import Finding, version
from imagekit.doctor.host import Host
from imagekit.engines.look import Look

THREADS, FIRST_ENGINE = (2, 34), (20, 10, 10)
FILES, FIRST_LIBRARY = (2, 33), (2, 4)
ANNOTATION = "io.github.seccomp.libseccomp.version"
"""Where a runtime says it in /info, since Engine 25."""


def check(host: Host) -> Iterator[Finding]:
    look = host.engine
    if look.trouble is not None or look.podman:
        return
    options = [str(entry) for entry in look.info.get("SecurityOptions") or ()]
    filters = [entry for entry in options if "name=seccomp" in entry]
    if not filters:
        yield Finding("seccomp", "OK", "the engine filters no system calls", figures={"seccomp": False})
        return
    if not any(f"profile={name}" in entry for entry in filters for name in ("builtin", "default")):
        yield Finding(
            "seccomp", "SKIP", "the engine has a profile of system calls of its own", figures={"seccomp": True}
        )
        return
    glibc, whose = _newest(host, look)
    library = _library(host, look)
    engine = str(look.version.get("Version") or "")
    figures = {"seccomp": True, "libseccomp": library, "glibc": glibc, "image": whose}
    if version(glibc) >= THREADS and version(engine) < FIRST_ENGINE:
        yield Finding(
            "seccomp", "FAIL", f"Docker {engine} does not let glibc {glibc} ({whose}) start threads: "
            '"can\'t start new thread"', "upgrade Docker Engine to 20.10.10 or later", figures,
        )  # fmt: skip
    elif library and version(glibc) >= FILES and version(library) < FIRST_LIBRARY:
        yield Finding(
            "seccomp", "WARN", f"libseccomp {library} may not let glibc {glibc} ({whose}) look at files: "
            '"Operation not permitted"', "upgrade libseccomp2 on this machine to 2.5, and runc with it", figures,
        )  # fmt: skip
    else:
        known = f", libseccomp {library}" if library else ""
        yield Finding("seccomp", "OK", f"glibc {glibc} ({whose}) works with Docker {engine}{known}", "", figures)


def _newest(host: Host, look: Look) -> tuple[str, str]:
    """The newest glibc of imagekit's images and of the base that is taken where nobody names one."""
    default = host.site.settings.base.default.partition(":")[2]
    system = facts.load().suite(default) or facts.load().suite("bookworm")
    found = [(system.glibc, f"base {system.suite}")] if system else []
    for image in look.images:
        labels = image.get("Labels") or {}
        if labels.get("io.imagekit.glibc"):
            found.append((labels["io.imagekit.glibc"], (image.get("RepoTags") or [str(image.get("Id"))[:19]])[0]))
    return max(found, key=lambda pair: version(pair[0]), default=("", ""))


def _library(host: Host, look: Look) -> str:
    """The runtime's, from the engine, else from this machine's runc; empty where neither tells."""
    for runtime in (look.info.get("Runtimes") or {}).values():
        features = (runtime.get("status") or {}).get("org.opencontainers.runtime-spec.features") or "{}"
        told = (json.loads(features).get("annotations") or {}).get(ANNOTATION)
        if told:
            return str(told)
    found = re.search(r"^libseccomp: ([\d.]+)", host.run("runc", "--version").out, re.MULTILINE) if look.local else None
    return found[1] if found else ""
