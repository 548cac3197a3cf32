"""Debian's docker-registry, served for a test: plain, or with a login and TLS under a CA of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from rooms import PATIENCE

CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}:{port}"{tls}}}
{auth}"""
LOGIN = ("ada", "correct horse")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextlib.contextmanager
def served(
    folder: Path, port: int = 0, *, address: str = "127.0.0.1", login: bool = False,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:  # fmt: skip
    """host:port of a registry that keeps its blobs in a folder. `address`: of this machine; `tls`: certificate and
    key."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    auth = ""
    if login:
        # htpasswd with bcrypt, which is all that it takes
        import bcrypt

        hashed = bcrypt.hashpw(LOGIN[1].encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{LOGIN[0]}:{hashed}\n")
        auth = f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}\n"
    secured = f", tls: {{certificate: {tls[0]}, key: {tls[1]}}}" if tls else ""
    config = folder / "registry.yaml"
    config.write_text(CONFIG.format(folder=folder / "data", address=address, port=port, tls=secured, auth=auth))
    with subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            _answers(f"{'https' if tls else 'http'}://{address}:{port}/v2/", process)
            yield f"{address}:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def log_in(folder: Path, host: str, password: str = LOGIN[1]) -> None:
    """What `docker login` leaves, in a folder that is DOCKER_CONFIG then."""
    text = base64.b64encode(f"{LOGIN[0]}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": text}}}))


def _answers(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None and time.monotonic() < ends
        try:
            urllib.request.urlopen(url, timeout=5, context=ssl._create_unverified_context()).close()
            return
        except urllib.error.HTTPError:
            return
        except urllib.error.URLError:
            time.sleep(0.05)
