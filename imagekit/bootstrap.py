"""A distribution's packages as a tar, by mmdebstrap: no registry, no engine, no trace of the machine that made it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit import namespaces, scratch
from imagekit.errors import Surroundings
from imagekit.oci.tar import EPOCH
from imagekit.site import Site, apt, scrub

LIMIT = 3600
"""Seconds for one system."""

LOOK, STUCK = 0.5, 5.0
"""Seconds between two looks at the disk; seconds for which it may be full."""

ROOM = 2_000_000
"""Bytes: with less a disk is full."""

_FULL = re.compile(r"No space left on device|not enough free space|\(28: ")

PATIENCE = 5
"""Seconds in which the processes of a group are gone that was told to end."""

HOOKS = (
    # mmdebstrap copies these from the host
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
    # not /tmp: mmdebstrap has its configuration of apt there until its end, and apt would take that of this machine
    'rm -rf "$1"/var/log/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
    'mkdir -p "$1/var/cache/apt/archives/partial" "$1/var/lib/apt/lists/partial"',
    'rm -rf "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/share/info/*',
    # whoever gives a package away gives its licence with it
    'find "$1/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete',
    'find "$1/usr/share/doc" -mindepth 1 -type d -empty -delete',
    # a layer that is half written when the power fails is thrown away: dpkg need not wait for the disk
    'echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"',
    "printf 'path-exclude=/usr/share/%s/*\\n' doc man locale info >\"$1/etc/dpkg/dpkg.cfg.d/imagekit\"",
    'echo "path-include=/usr/share/doc/*/copyright" >>"$1/etc/dpkg/dpkg.cfg.d/imagekit"',
)


def available() -> bool:
    return shutil.which("mmdebstrap") is not None


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


def make(suite: str, packages: Iterable[str], tar: Path, site: Site, hooks: Iterable[str] = ()) -> None:
    """The root of a system with these packages and what they need. `hooks`: shell lines for its end, the root is $1.

    Raises Surroundings when mmdebstrap fails.
    """
    _run([f"--customize-hook={hook}" for hook in (*hooks, *HOOKS)], suite, packages, tar, site)


def _run(options: Iterable[str], suite: str, packages: Iterable[str], tar: Path, site: Site) -> str:
    """What mmdebstrap printed."""
    # its cleaning of apt makes folders that are apt's own user's, or root's where that user cannot get at TMPDIR
    call = [*_apart(), "mmdebstrap", "--quiet", "--variant=minbase", "--skip=cleanup/apt"]
    call += [f"--include={','.join(packages)}", *options, *_mirrored(site)]
    environment = {
        "PATH": f"{os.environ.get('PATH', '')}:{namespaces.PATH}",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "LC_ALL": "C.UTF-8",
        **scratch.resolver(),
        **{"no_proxy" if kind == "no_proxy" else f"{kind}_proxy": value for kind, value in site.proxy.items()},
    }
    with _work(tar) as folder, tar.open("wb") as out:
        process = subprocess.Popen(
            [*call, suite, "-"], env={**environment, "TMPDIR": str(folder)}, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
            preexec_fn=scratch.die_with_parent, umask=0o022,
        )  # fmt: skip
        with _LOCK:
            _RUNNING.append(process)
        try:
            output, full = _heard(process, folder)
        except BaseException:
            _end(process)
            raise
        finally:
            with _LOCK:
                _RUNNING.remove(process)
    if process.returncode and (full or _FULL.search(output)):
        raise Surroundings(
            f"there is no room for a system of {suite} in {scratch.cache()}",
            hint="free some disk: imagekit cache list; XDG_CACHE_HOME names another one",
        )
    if process.returncode:
        lines = [scrub(line, site.hosts) for line in output.splitlines() if line.strip()][-8:]
        raise Surroundings(
            f"mmdebstrap could not make a base of {suite}", details=lines,
            hint="it needs the suite's mirror, its keyring (debian-archive-keyring, ubuntu-keyring), and root or user "
            "namespaces",
        )  # fmt: skip
    return output


def _heard(process: subprocess.Popen[str], folder: Path) -> tuple[str, bool]:
    """(what it says, whether its disk was full). apt waits for ever where it can write nothing, so nobody waits for it.

    Raises Surroundings after LIMIT.
    """
    ever, full, ends = False, 0.0, time.monotonic() + LIMIT
    while True:
        try:
            return process.communicate(timeout=LOOK)[1], ever
        except subprocess.TimeoutExpired:
            full = full + LOOK if shutil.disk_usage(folder).free < ROOM else 0.0
            ever = ever or full > 0
        if full > STUCK:
            _end(process)
        if time.monotonic() > ends:
            raise Surroundings(f"mmdebstrap was not done within {LIMIT // 60} minutes", hint="does its mirror answer?")


@dataclass(frozen=True)
class Offered:
    """A distribution package as the archives have it now."""

    version: str
    security: bool
    """Whether it comes from the distribution's archive of security updates."""


_INST = re.compile(r"Inst (?P<name>\S+) (\[\S+\] )?\((?P<version>\S+) (?P<origins>[^\[)]*)")
"""A line of `apt-get --simulate install`: Inst perl-base (5.36.0-7 Debian-Security:12/oldstable-security [amd64])"""


def offered(suite: str, packages: Iterable[str], site: Site) -> dict[str, Offered]:
    """What `make` would install now, by name; only lists of packages are downloaded. Raises Surroundings as `make`."""
    with scratch.folder("simulated") as place:
        said = _run(["--verbose", "--simulate"], suite, packages, place / "nothing", site)
    rows = [match for line in said.splitlines() if (match := _INST.search(line))]
    if not rows:
        raise Surroundings(f"mmdebstrap does not tell what it would install of {suite}")
    return {row["name"]: Offered(row["version"], "security" in row["origins"].lower()) for row in rows}


def _apart() -> tuple[str, ...]:
    """Mounts of its own: those that mmdebstrap makes for root are gone with it, also when it is killed outright.

    /sys and /dev mounted in a folder that is thrown away later are nobody's wish. Whoever is not root has them anyway,
    and where root may mount nothing, as in most containers, mmdebstrap mounts nothing.
    """
    with contextlib.suppress(Surroundings):
        if os.getuid() == 0:
            return (*namespaces.root(), "--mount", "--propagation", "slave")
    return ()


_RUNNING: list[subprocess.Popen[str]] = []
_LOCK = threading.Lock()


def stop_all() -> None:
    """End every mmdebstrap of this process, in whichever thread it was started; there `make` raises Surroundings."""
    with _LOCK:
        running = list(_RUNNING)
    for process in running:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does in a terminal: all of its group are told, mmdebstrap unmounts and cleans.

    Told alone, it waits for an apt that waits for room on a disk; and what it started may outlive it, and still write
    where we clean up.
    """
    with contextlib.suppress(ProcessLookupError):  # nobody of its group is left
        for told in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, told)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
                break
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)


@contextlib.contextmanager
def _work(tar: Path) -> Iterator[Path]:
    """Where mmdebstrap works. Its own users must get there, and into no home: for whoever is not root it is in /tmp."""
    if os.getuid() == 0:
        yield tar.parent
        return
    top = Path(tempfile.gettempdir())
    for old in top.glob(f"{_WORK}*"):  # what a killed imagekit left belongs to users of those namespaces
        if old.stat().st_uid == os.getuid() and not scratch.alive(old.name.split("-")[2]):
            subprocess.run([*namespaces.root(), "rm", "-rf", str(old)], capture_output=True, check=False)
    with tempfile.TemporaryDirectory(prefix=f"{_WORK}{os.getpid()}-", dir=top) as name:
        Path(name).chmod(0o711)
        yield Path(name)


_WORK = "imagekit-base-"
