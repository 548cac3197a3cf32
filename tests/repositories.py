"""Git repositories on this machine, served over http: as plain files, and as the hosts of the world do.

gitprotocol-http(5) calls them the dumb and the smart protocol; the first cannot give one commit alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import samples

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-clip"
version = "{version}"
dependencies = [{dependencies}]
"""

_WHO = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Repository:
    folder: Path
    url: str

    def git(self, *arguments: str) -> str:
        call = ["git", "-C", str(self.folder), *arguments]
        env = {**os.environ, **_WHO}
        return subprocess.run(call, check=True, capture_output=True, text=True, env=env).stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        """Write files, commit them on the branch; the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "another")
        self.publish()
        return self.git("rev-parse", "HEAD")

    def package(self, version: str = "1.0", dependencies: str = "") -> str:
        """Commit a package acme-clip that says everything in its pyproject.toml."""
        module = f'__version__ = "{version}"\n'
        text = PYPROJECT.format(version=version, dependencies=dependencies)
        return self.commit({"pyproject.toml": text, "acme_clip/__init__.py": module})

    def tag(self, name: str, *options: str) -> None:
        self.git("tag", "--force", *options, name)
        self.publish()

    def forget(self, commit: str) -> None:
        """As after a forced push and the server's next cleaning: nothing leads to the commit, and it goes."""
        self.git("reset", "--quiet", "--hard", f"{commit}^")
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "--quiet", "--prune=now")
        self.publish()

    def publish(self) -> None:
        self.git("update-server-info")


@contextlib.contextmanager
def smart(repository: Repository) -> Iterator[str]:
    """The same repository by git-http-backend(1); its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length", 0))
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(repository.folder), "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path.replace("/clip.git", "/.git"), "QUERY_STRING": query, "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_GLOBAL": os.devnull,
            }  # fmt: skip
            call = ["git", "http-backend"]
            done = subprocess.run(call, env=env, input=self.rfile.read(length), capture_output=True, check=True)
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/clip.git"
    finally:
        httpd.shutdown()
        httpd.server_close()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Repository]:
    """An empty repository with a branch `main`, at an http address of this machine."""
    folder.mkdir(parents=True)
    files = samples.folder_server(folder / ".git")
    with samples.server(lambda path: files(path.removeprefix("/acme/clip.git"))) as url:
        made = Repository(folder, f"{url}/acme/clip.git")
        made.git("init", "--quiet", "--initial-branch=main")
        yield made
