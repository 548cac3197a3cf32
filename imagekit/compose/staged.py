"""Distribution packages on what is there already, with the archives and roots of overlays; and their steps.

What the system stage and the last RUN of a Dockerfile do (templates/base.Dockerfile.j2), as a layer each.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagekit import contract, scratch
from imagekit.compose import altered, tree
from imagekit.contract import File
from imagekit.lock.model import Lock
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept, Made
from imagekit.oci.layer import FORMAT
from imagekit.site import Site, apt

Say = Callable[[str, str], None]

GIVEN = "/dev/given"
"""Where a script finds the files of overlays; /dev is the process's own, so no trace of it stays."""

SYSTEM = {"DEBIAN_FRONTEND": "noninteractive"}
STEPS = {
    "HOME": "/root", "XDG_CACHE_HOME": "/tmp/cache", "PIP_NO_CACHE_DIR": "1", "DEBIAN_FRONTEND": "noninteractive",
}  # fmt: skip

RECORD = "dpkg-query -W -f '${Package}=${Version}\\n' >/opt/imagekit/record/system.txt"


def system_script(lock: Lock, packages: Sequence[str], site: Site) -> str:
    """`packages`: of the distribution."""
    r, install = lock.resolution, "apt-get update -qq; apt-get install -y -qq --no-install-recommends"
    mirror = apt.script(site.settings.apt, bool(site.ca)) if site.settings.apt.mirror else ""
    update = "update-ca-certificates >/dev/null"
    lines = [
        mirror,
        f"{install} ca-certificates" if r.apt_sources and r.base.kind == "image" else "",
        f"cp -r {GIVEN}/trust/. /usr/local/share/ca-certificates/" if r.trust else "",
        f"cp -r {GIVEN}/apt/. /etc/apt/" if r.apt_sources else "",
        update if r.trust and r.apt_sources else "",
        mirror if r.apt_sources else "",  # those of the overlay are sources now too
        f"{install} {' '.join(map(shlex.quote, packages))}",
        update if r.trust and not r.apt_sources else "",
        "mkdir -p /opt/imagekit/record",
        RECORD,
        "apt-get clean",
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache"
        " /var/cache/fontconfig/* /var/log/* /etc/ssh/ssh_host_*",
        *(f"mkdir -p /{place}; chmod 2775 /{place}" for place in contract.SHARED),
    ]
    return "\n".join(filter(None, lines)) + "\n"


def system_layer(
    below: Sequence[Stacked], script: str, files: Mapping[str, File], site: Site, shelf: Kept, key: str
) -> Made:
    """The layer of `system_script` on some layers. `files`: of the context. Raises BuildFailed."""
    with _given(files) as given:
        shown = {GIVEN: given, **({apt.CA: Path(site.ca)} if site.ca else {})}
        with tree.root_of(below, verify=True) as root:  # a base of somebody's is among them
            return shelf.take(key, lambda out: altered.layer(
                root, script, out, site, environment=SYSTEM, files=shown, what="installing distribution packages",
            ))  # fmt: skip


def system_key(below: Sequence[Stacked], script: str, files: Mapping[str, File]) -> str:
    """What the layer is made from, as far as it is pinned; the versions of packages are not."""
    ours = sorted((path, hashlib.sha256(file.content).hexdigest()) for path, file in files.items() if _early(path))
    return _digest(["system", FORMAT, [one.layer.diff_id for one in below], script, ours])


def steps_layer(below: Sequence[Stacked], lock: Lock, env: Mapping[str, str], site: Site, shelf: Kept) -> Stacked:
    """The steps of overlays on all other layers, as root. What they fetch is not pinned. Raises BuildFailed."""
    rows = lock.resolution.steps
    lines = ['trap \'test "$?" = 0 || echo "imagekit: $imagekit_step failed" >&2\' EXIT']
    for step in rows:
        lines += [f'imagekit_step="overlay {step.overlay}, step {step.number}"', f"eval {shlex.quote(step.line)}"]
    script = "\n".join([*lines, 'imagekit_step="the end of the steps"', RECORD]) + "\n"
    key = _digest(["steps", FORMAT, [one.layer.diff_id for one in below], script, sorted(env.items())])
    owners = ", ".join(dict.fromkeys(step.overlay for step in rows))
    known = shelf.find(key)
    if known is None:
        with tree.root_of(below) as root:
            known = shelf.take(key, lambda out: altered.layer(
                root, script, out, site, environment={**env, **STEPS}, what=f"a step of the overlay {owners}",
            ))  # fmt: skip
    return Stacked(*known, f"imagekit: steps of {owners}")


def _early(path: str) -> bool:
    return path.startswith(("trust/", "apt/"))


@contextmanager
def _given(files: Mapping[str, File]) -> Iterator[Path]:
    """The files of overlays that the system needs, as a folder, with the modes that they have in the image."""
    with scratch.folder("given") as place:
        for path, file in files.items():
            if _early(path):
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.content)
        for one in (place, *place.rglob("*")):
            one.chmod(0o755 if one.is_dir() else 0o644)
        yield place


def _digest(inputs: object) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
