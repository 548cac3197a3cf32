"""Enter a root and never see what was outside of it again; runs by itself, in namespaces that unshare(1) has made.

    python3 -I -S enter.py

The first line of stdin says what is wanted: {"root": ..., "folders": [[from, to], ...], "uid": ..., "gid": ...,
"workdir": ..., "environment": {...}, "call": [...], "installs": false}. The rest is the program's.

Not chroot(2), which root leaves as it came: pivot_root(2), and the old root is unmounted. Devices are those that say
nothing about this machine. No capability is left, and none comes back with a program; but whoever `installs` has the
network of this machine, and what a package manager needs: the capabilities of a container's root.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
NO_NEW_PRIVS, CAPBSET_DROP = 38, 24
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
INSTALLER = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
"""Capabilities (capability.h) of a container's root in Docker: chown, dac_override, fowner, fsetid, kill, setgid,
setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap."""

CAPABILITIES = "security.capability"
"""The attribute of a file that has some (capabilities(7)),"""
TOLD_OF_CAPABILITIES = f"SCHILY.xattr.{CAPABILITIES}"
"""and where a tar has it."""

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def called(done: int, what: str) -> None:
    if done:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    arguments = [text.encode() for text in (source, target, kind)]
    called(LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode()), f"mount {kind or source} on {target}")


OWN = ("dev", "proc", "tmp", "etc")
"""Folders in which something is mounted, or is put for a mount to be seen at."""

READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
HIDDEN = ("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "scsi", "sched_debug", "timer_list")
"""Of /proc: what says much of this machine, or changes it. Docker's lists."""


def processes() -> None:
    """A /proc of our own, without what is the machine's."""
    mount("proc", "proc", "proc", NOSUID)
    for name in READ_ONLY:
        if Path("proc", name).exists():
            mount(f"proc/{name}", f"proc/{name}", "", BIND)
            mount(f"proc/{name}", f"proc/{name}", "", REMOUNT | BIND | RDONLY)
    for name in HIDDEN:
        if Path("proc", name).is_dir():
            mount("tmpfs", f"proc/{name}", "tmpfs", RDONLY)
        elif Path("proc", name).exists():
            mount("/dev/null", f"proc/{name}", "", BIND)


def devices() -> None:
    """A /dev of our own, in the root that we stand in."""
    mount("dev", "dev", "tmpfs", NOSUID, "mode=0755")
    for name in DEVICES:
        Path("dev", name).touch()
        mount(f"/dev/{name}", f"dev/{name}", "", BIND)
    for folder, kind, options in (
        ("dev/shm", "tmpfs", "mode=1777,size=1g"), ("dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620"),
    ):  # fmt: skip
        Path(folder).mkdir()
        mount(kind, folder, kind, NOSUID, options)
    for name, target in (
        ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"),
    ):  # fmt: skip
        Path("dev", name).symlink_to(target)


def loopback() -> None:
    """A network of its own begins with `lo` down; ranks of one machine and workers talk over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def told() -> dict[str, Any]:
    """What is wanted. Read byte by byte: what comes after the line is for whoever is started."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in (b"\n", b""):
        line += byte
    return json.loads(line)  # type: ignore[no-any-return]


def no_links(root: Path) -> None:
    """Nothing is made or mounted outside of the root."""
    for name in OWN:
        if (root / name).is_symlink():
            sys.exit(f"/{name} is a link in this image")
        (root / name).mkdir(exist_ok=True)


def inside(wanted: dict[str, Any]) -> None:
    """Become the wanted process. Ends this one with a word where that cannot be."""
    installs = wanted.get("installs", False)
    os.umask(0o022)
    if not installs:
        loopback()
    mount("none", "/", "", REC | PRIVATE)
    mount(wanted["root"], wanted["root"], "", BIND | REC)
    # unpacked roots have no devices; where the flags of the mount are another's this cannot be said once more
    LIBC.mount(b"", wanted["root"].encode(), b"", ctypes.c_ulong(REMOUNT | BIND | NODEV), b"")
    os.chdir(wanted["root"])
    no_links(Path())
    processes()
    devices()
    mount("tmp", "tmp", "tmpfs", NOSUID, "mode=1777")
    for source, target in wanted["folders"]:
        place = Path(target.lstrip("/"))
        (place if Path(source).is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
        if not Path(source).is_dir():
            place.touch()
        mount(source, str(place), "", BIND | REC)
        LIBC.mount(b"", str(place).encode(), b"", ctypes.c_ulong(REMOUNT | BIND | RDONLY | NOSUID), b"")
    called(LIBC.syscall(PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    called(LIBC.umount2(b".", DETACH), "umount of the old root")
    os.chdir(wanted["workdir"])
    for capability in set(range(64)).difference(INSTALLER if installs else ()):
        LIBC.prctl(CAPBSET_DROP, capability, 0, 0, 0)  # those that this kernel does not know it refuses
    os.setgroups([])
    os.setresgid(wanted["gid"], wanted["gid"], wanted["gid"])
    os.setresuid(wanted["uid"], wanted["uid"], wanted["uid"])
    called(LIBC.prctl(NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    call = wanted["call"]
    try:
        os.execvpe(call[0], call, wanted["environment"])
    except OSError as error:
        sys.exit(f"{call[0]}: {error.strerror}")


if __name__ == "__main__":
    inside(told())
