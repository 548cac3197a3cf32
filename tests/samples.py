"""Small locks, reports and servers that several unit tests start from."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from imagekit.compat.resolve import resolve
from imagekit.lock.model import Lock, Package, Tool
from imagekit.profile import Wishes, load
from imagekit.smoke import fatbin

Answer = tuple[int, bytes]


def lock(profile: str = "tiny", wishes: Wishes = Wishes(), created: str = "2026-01-02") -> Lock:
    """A lock as `imagekit lock` would make it, of two packages that no index has."""
    packages = tuple(package(name, version) for name, version in (("six", "1.17.0"), ("torch", "2.4.1")))
    tools = (Tool(name="uv", version="0.9.10", hashes=(sha256("uv"),)),)
    return Lock(
        created=created, resolution=resolve(load(profile), wishes), packages=packages, tools=tools, build_requires={}
    )


def package(name: str, version: str, **changes: object) -> Package:
    fields = {
        "name": name, "version": version, "kind": "wheel", "file": f"{name.replace('-', '_')}-{version}-py3-none-any.whl",
        "sha256": sha256(name + version), "size": 1000, "index": "pypi", "needed_by": ("profile tiny",),
    }  # fmt: skip
    return Package(**{**fields, **changes})  # type: ignore[arg-type]


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


@contextlib.contextmanager
def server(
    answer: Callable[[str], Answer],
    certificate: tuple[Path, Path] | None = None,
    *,
    host: str = "127.0.0.1",
    login: str = "",
) -> Iterator[str]:
    """A web server on this machine that answers every GET, HEAD and POST by `answer(path)`; its URL.

    `login`: user:password that it asks for; the URL does not have it.
    """
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = not wanted or self.headers.get("Authorization") == wanted
            code, body = answer(self.path) if allowed else (401, b"who are you?")
            self.send_response(code)
            if not allowed:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            kind = "application/json" if body[:1] in (b"{", b"[") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer((host, 0), Handler)
    httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://{host}:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()


def folder_server(folder: Path) -> Callable[[str], Answer]:
    """Answers with the files of a folder; index.html for a folder in it."""

    def answer(path: str) -> Answer:
        target = folder / path.split("?")[0].strip("/")
        target = target / "index.html" if target.is_dir() else target
        return (200, target.read_bytes()) if target.is_file() else (404, b"not here")

    return answer


def certificate(folder: Path, address: str) -> tuple[Path, Path]:
    """A self-signed certificate for an IP address, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    call = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    call += ["-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
    call += ["-addext", "basicConstraints=critical,CA:FALSE", "-out", str(cert), "-keyout", str(key)]
    subprocess.run(call, check=True, capture_output=True)
    return cert, key


def fat_binary(*numbers: int, ptx: tuple[int, ...] = ()) -> bytes:
    """A container as nvcc writes it: an entry of 64 bytes and its code for each architecture."""
    entries = b"".join(
        fatbin.ENTRY.pack(kind, 1, 64, 8, 0, 0, 0, 0, number).ljust(64, b"\0") + bytes(8)
        for kind, of in ((2, numbers), (1, ptx))
        for number in of
    )
    return fatbin.CONTAINER.pack(fatbin.MAGIC, 1, 16, len(entries)) + entries


class Silent(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1") -> Iterator[str]:
    httpd = ThreadingHTTPServer((host, 0), handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://{host}:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
