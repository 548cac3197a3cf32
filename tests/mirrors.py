"""What stands between a build and the world in a company: a private index, a mirror of the distribution, a proxy.

All listen on the address by which containers reach this machine, and remember what they were asked.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import samples
import standins
from rooms import docker

from imagekit.lock.model import Lock

PASSWORD = "c4n4ry-s3cret"


@dataclass(frozen=True)
class Mirror:
    url: str
    """With user and password."""
    bundle: Path
    address: str
    asked: list[str]
    """Paths of all requests."""

    @property
    def plain(self) -> str:
        return self.url.replace(f"me:{PASSWORD}@", "")


def gateway() -> str:
    """The address by which containers reach this machine."""
    return docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")


@contextlib.contextmanager
def index(folder: Path, lock: Lock) -> Iterator[Mirror]:
    """An index of everything in tiny's lock, HTTPS by a CA of its own, behind a password."""
    wanted = [f"{p.name}=={p.version}" for p in (*lock.packages, *lock.tools) if p.name != "torch"]
    call = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder / "files"),
    ]
    call += ["--python-version=3.11", "--platform=manylinux_2_17_x86_64", "--platform=manylinux2014_x86_64"]
    call += ["--platform=manylinux_2_28_x86_64", "--platform=any", *wanted]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    standins.index(folder, [standins.torch()])
    for file in sorted((folder / "files").iterdir()):
        page = folder / "simple" / file.name.split("-")[0].lower().replace("_", "-") / "index.html"
        page.parent.mkdir()
        shutil.copy(file, page.parent)
        page.write_text(f'<a href="{file.name}#sha256={samples.sha256(file.read_bytes())}">{file.name}</a>')
    address = gateway()
    cert, key = samples.certificate(folder, address)
    bundle = folder / "bundle.pem"
    system = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    bundle.write_text(system.read_text() + cert.read_text())
    asked: list[str] = []
    files = samples.folder_server(folder)

    def answer(path: str) -> samples.Answer:
        asked.append(path)
        return files(path)

    with samples.server(answer, (cert, key), host=address, login=f"me:{PASSWORD}") as url:
        yield Mirror(f"{url.replace('://', f'://me:{PASSWORD}@')}/simple", bundle, address, asked)


@dataclass
class Relay:
    url: str = ""
    address: str = ""
    asked: list[str] = field(default_factory=list)


def archives(base: str) -> dict[str, str]:
    """debian, debian-security -> the address that a base image's own sources have for it."""
    listed = docker(
        "run",
        "--rm",
        "--entrypoint=",
        base,
        "sh",
        "-c",
        "cat /etc/apt/sources.list* /etc/apt/sources.list.d/* 2>/dev/null; :",
    )
    return {name: url for url, name in re.findall(r"(https?://[^/\s]+/([a-z-]+))", listed)}


@contextlib.contextmanager
def archive(upstream: dict[str, str]) -> Iterator[Relay]:
    """A mirror of a distribution that asks the archives themselves: /debian/..., /debian-security/..."""
    relay = Relay()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            relay.asked.append(self.path)
            name, _, rest = self.path.lstrip("/").partition("/")
            request = urllib.request.Request(f"{upstream.get(name, 'http://invalid.')}/{rest}")
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, b"")
            except OSError:
                self.answer(502, b"")

    with _listening(Handler, relay):
        yield relay


@contextlib.contextmanager
def proxy() -> Iterator[Relay]:
    """A forward proxy for http (GET of a whole URL) and https (CONNECT)."""
    relay = Relay()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            relay.asked.append(f"GET {self.path}")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(self.path, timeout=60) as answer:
                    self.answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, b"")
            except OSError:
                self.answer(502, b"")

        do_HEAD = do_GET

        def do_CONNECT(self) -> None:
            relay.asked.append(f"CONNECT {self.path}")
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=60) as other:
                self.send_response(200)
                self.end_headers()
                pair = {self.connection: other, other: self.connection}
                while True:
                    for one in select.select(list(pair), [], [], 60)[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        pair[one].sendall(data)

    with _listening(Handler, relay):
        yield relay


class _Quiet(BaseHTTPRequestHandler):
    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _listening(handler: type[BaseHTTPRequestHandler], relay: Relay) -> Iterator[None]:
    relay.address = gateway()
    server = ThreadingHTTPServer((relay.address, 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    relay.url = f"http://{relay.address}:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
