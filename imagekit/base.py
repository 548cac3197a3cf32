"""A base image out of distribution packages: no registry, no trace of the machine that made it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from imagekit import scratch
from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings
from imagekit.site import Site, apt, scrub

REPOSITORY = "imagekit/base"

EPOCH = 1735689600
"""SOURCE_DATE_EPOCH of every base, 2025-01-01: its bytes depend on its packages only."""

_HOOKS = (
    # mmdebstrap copies these from the host
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
    'rm -rf "$1"/var/log/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/tmp/*',
    'rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/share/info/*',
    # a layer that is half written when the power fails is thrown away: dpkg need not wait for the disk
    'echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"',
    "printf 'path-exclude=/usr/share/%s/*\\n' doc man locale info >\"$1/etc/dpkg/dpkg.cfg.d/imagekit\"",
)


def find(engine: Engine, suite: str) -> str:
    """The reference of the base of a suite, by content; empty when there is none yet."""
    image = engine.image(f"{REPOSITORY}:{suite}")
    if image is None:
        return ""
    named = [tag for tag in image["RepoTags"] if tag.startswith(f"{REPOSITORY}:{suite}-")]
    return named[0] if named else f"{REPOSITORY}:{suite}"


def bootstrap(engine: Engine, suite: str, packages: tuple[str, ...], say: Callable[[str], None], site: Site) -> str:
    """Make imagekit/base:<suite>-<12 hex of the tar> and point imagekit/base:<suite> at it; its reference.

    About 20 s. Raises Surroundings when mmdebstrap is missing or fails.
    """
    if shutil.which("mmdebstrap") is None:
        raise Surroundings(
            f"there is no {REPOSITORY}:{suite} yet, and mmdebstrap, which makes it, is not installed",
            hint="apt-get install mmdebstrap, or name an image: --base image:debian:bookworm",
        )
    say(f"making {REPOSITORY}:{suite} from distribution packages (once, about 20 s)")
    with scratch.folder("base") as folder:
        tar = folder / "base.tar"
        _mmdebstrap(suite, packages, tar, site)
        digest = hashlib.sha256()
        with tar.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        tag = f"{suite}-{digest.hexdigest()[:12]}"
        if engine.image(f"{REPOSITORY}:{tag}") is None:
            engine.import_tar(tar, REPOSITORY, tag, [f"LABEL io.imagekit.base={suite}", 'CMD ["/bin/sh"]'])
    engine.tag(f"{REPOSITORY}:{tag}", f"{REPOSITORY}:{suite}")
    return f"{REPOSITORY}:{tag}"


def _mirrored(site: Site) -> list[str]:
    """Options of mmdebstrap that turn apt to the site's mirror and put the distribution's sources back at the end."""
    mirror, call = site.settings.apt.mirror, []
    if mirror:
        kept = '"$1/etc/apt/sources.imagekit"'
        files = '"$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*'
        call += [
            f'--setup-hook=mkdir {kept}; for f in {files}; do if [ -f "$f" ]; then cp -p "$f" {kept}; '
            f'sed -i -E {apt.program(site.settings.apt)} "$f"; fi; done',
            f'--customize-hook=for f in {files}; do if [ -f "$f" ]; then cp -p {kept}"/${{f##*/}}" "$f"; fi; done; '
            f"rm -r {kept}",
        ]
    if site.ca and mirror.startswith("https"):
        call += [f'--aptopt=Acquire::https::CaInfo "{site.ca}"']
        call += ['--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"']
    return call


def _mmdebstrap(suite: str, packages: tuple[str, ...], tar: Path, site: Site) -> None:
    call = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    call += [f"--customize-hook={hook}" for hook in _HOOKS]
    call += _mirrored(site)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(tar.parent),
        **scratch.resolver(),
        **{"no_proxy" if kind == "no_proxy" else f"{kind}_proxy": value for kind, value in site.proxy.items()},
    }
    process = subprocess.Popen(
        [*call, suite, str(tar)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=scratch.die_with_parent,
    )  # fmt: skip
    try:
        output, _ = process.communicate()
    except BaseException:
        # mmdebstrap unmounts and cleans on SIGINT; killed outright it would leave mounts
        process.send_signal(2)
        process.wait(60)
        raise
    if process.returncode:
        lines = [scrub(line, site.hosts) for line in output.splitlines() if line.strip()][-8:]
        raise Surroundings(
            f"mmdebstrap could not make a base of {suite}", details=lines,
            hint="it needs the suite's mirror, its keyring (debian-archive-keyring, ubuntu-keyring), and root or user "
            "namespaces",
        )  # fmt: skip
