"""A host key in an image is everybody's host key, and an sshd that takes passwords is an open door; one that takes
nobody is found when somebody has to look into a job."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from ..check import Check, Failure, Figures, Image, progress, shorten

SYSTEM_KEYS = Path("/etc/ssh")


def keys(image: Image) -> Figures:
    found = sorted(str(path) for path in SYSTEM_KEYS.glob("ssh_host_*"))
    if found:
        raise Failure(
            found=", ".join(found),
            expected="no host key in the image; the first start makes one",
            because="openssh-server makes them when it is installed",
            fix="remove /etc/ssh/ssh_host_* in the same RUN",
        )
    return {}


def run(image: Image) -> Figures:
    program = image.root / "sshd"
    folder, port = Path("sshd").resolve(), _free_port()
    name = os.environ.get("USER", "imagekit")
    env = {
        **os.environ, "IMAGEKIT_SSHD_FOLDER": str(folder), "IMAGEKIT_SSHD_KEYS": str(Path("key.pub").resolve()),
        "IMAGEKIT_SSHD_PORT": str(port),
    }  # fmt: skip
    Path("key.pub").write_text("none yet\n", encoding="utf-8")
    with subprocess.Popen([str(program)], stderr=subprocess.PIPE, text=True, env=env) as server:
        try:
            _listening(server)
            asks = _named(folder, env)  # ssh and ssh-keygen want a name for this user id, as sshd does
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], asks)
            progress("logging in")
            inside = _run([*_ssh(port), f"{name}@127.0.0.1", "id -u && command -v python"], asks)
            without = subprocess.run(
                [*_ssh(port), "-o", "PubkeyAuthentication=no", f"{name}@127.0.0.1", "true"],
                capture_output=True, text=True, check=False, env=asks,
            )  # fmt: skip
        finally:
            server.send_signal(signal.SIGKILL)
    if inside.split() != [str(os.getuid()), f"{image.venv}/bin/python"]:
        _fail(f"a session says {' '.join(inside.split())}", f"{os.getuid()} {image.venv}/bin/python")
    if without.returncode == 0 or "Permission denied (publickey)" not in without.stderr:
        _fail(f"without a key: exit {without.returncode}, {shorten(without.stderr)}", "Permission denied (publickey)")
    return {"uid": os.getuid(), "has_passwd_entry": "LD_PRELOAD" not in asks}


def _ssh(port: int) -> list[str]:
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=known_hosts"]
    return ["ssh", "-F", "none", "-i", "key", "-p", str(port), *(part for o in options for part in ("-o", o))]


def _named(folder: Path, env: dict[str, str]) -> dict[str, str]:
    passwd = folder / "passwd"
    if not passwd.exists():
        return env
    library = next(Path("/usr/lib").glob("*/libnss_wrapper.so"))
    wrapper = {"LD_PRELOAD": library, "NSS_WRAPPER_PASSWD": passwd, "NSS_WRAPPER_GROUP": "/etc/group"}
    return env | {key: str(value) for key, value in wrapper.items()}


def _listening(server: subprocess.Popen[str]) -> None:
    said = []
    assert server.stderr is not None
    for line in server.stderr:
        said.append(line)
        if "Server listening" in line:
            return
    _fail(f"sshd ended: {shorten(' '.join(said))}", "Server listening")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        _fail(f"{command[0]}: exit {done.returncode}, {shorten(done.stderr)}", "a key logs in on localhost")
    return done.stdout


def _fail(found: str, expected: str) -> None:
    raise Failure(
        found=found,
        expected=expected,
        because="openssh-server, openssh-client or libnss-wrapper of the feature dev was changed or removed",
        fix="leave them as the feature installed them",
    )


def _dev(image: Image) -> bool:
    return "dev" in image.features


HOST_KEYS = Check("no-host-keys", "static", keys, applies=_dev)
CHECK = Check("sshd", "cpu", run, applies=_dev, limit=60)
