"""As much of a Kubernetes API server as `imagekit test --on` meets through the real kubectl: Jobs, their pods, logs.

A Job's pod goes through the states that a test gives, and then prints what its `program` prints. It is no cluster: that
no real one was asked is said in docs/testing.md.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Program = Callable[[dict[str, Any]], tuple[int, Iterator[bytes]]]
"""Manifest of the Job -> exit code, and lines of its log as they come."""


def nothing(_: dict[str, Any]) -> tuple[int, Iterator[bytes]]:
    return 0, iter(())


@dataclass
class Cluster:
    program: Program = nothing
    states: list[dict[str, Any]] = field(default_factory=list)
    """Statuses of the pod before it runs, one for each look; the last one stays where `stays` is said."""
    stays: bool = False
    forbidden: bool = False
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """Manifests that came."""
    deleted: list[str] = field(default_factory=list)
    code: int | None = None
    """Of the container, once it is over."""
    breaks: int = 0
    """How often a log breaks off, in the middle of its last line, while its pod goes on."""
    evicted: bool = False
    """Whether the pod is taken away when its log breaks off."""
    follows: int = 0
    """How often a log was asked for."""

    def pod(self) -> dict[str, Any]:
        status: dict[str, Any] = {"phase": "Running"}
        if self.states:
            status = self.states[0]
            if len(self.states) > 1 or not self.stays:
                self.states.pop(0)
        elif self.evicted and self.follows:
            status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
        elif self.code is not None:
            status = {"phase": "Failed" if self.code else "Succeeded",
                      "containerStatuses": [{"name": "proof", "state": {"terminated": {"exitCode": self.code}}}]}  # fmt: skip
        job = self.jobs[-1]
        return {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{job['metadata']['name']}-x", "namespace": "ml"},
            "spec": {**job["spec"]["template"]["spec"], "nodeName": "node-1"}, "status": status,
        }  # fmt: skip


def _resources(version: str, name: str, kind: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "watch"]
    row = {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [row]}


VERSION = {"groupVersion": "batch/v1", "version": "v1"}
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1",
              "groups": [{"name": "batch", "versions": [VERSION], "preferredVersion": VERSION}]},
    "/api/v1": _resources("v1", "pods", "Pod"),
    "/apis/batch/v1": _resources("batch/v1", "jobs", "Job"),
}  # fmt: skip


@contextlib.contextmanager
def served(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """The path of a kubeconfig."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _reply(self, row: dict[str, Any], code: int = 200) -> None:
            body = json.dumps(row).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path in DISCOVERY:
                self._reply(DISCOVERY[parts.path])
            elif parts.path.endswith("/log"):
                self._log()
            elif parts.path == "/api/v1/namespaces/ml/pods":
                name = parse_qs(parts.query)["labelSelector"][0].partition("=")[2]
                there = cluster.jobs and cluster.jobs[-1]["metadata"]["name"] == name
                rows = [cluster.pod()] if there else []
                self._reply({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": rows})
            elif parts.path.startswith("/api/v1/namespaces/ml/pods/"):
                self._reply(cluster.pod())
            else:
                self._reply(
                    {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404
                )

        def _log(self) -> None:
            code, lines = cluster.program(cluster.jobs[-1])
            cluster.follows += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if broken := cluster.follows <= cluster.breaks or cluster.evicted:
                lines = iter([b"".join(lines)[:-20]])
            for line in lines:
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            if broken:
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")
            cluster.code = code

        def do_POST(self) -> None:
            row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if cluster.forbidden:
                self._reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                             "message": 'jobs.batch is forbidden: User "ada" cannot create resource "jobs"'}, 403)  # fmt: skip
                return
            cluster.jobs.append(row)
            self._reply(row, 201)

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            cluster.deleted.append(urlsplit(self.path).path.rpartition("/")[2])
            self._reply({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
    config = folder / "kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "gpus",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "ada", "user": {}}],
        "contexts": [{"name": "gpus", "context": {"cluster": "c", "user": "ada", "namespace": "ml"}}],
    }))  # fmt: skip
    try:
        yield config
    finally:
        server.shutdown()
        server.server_close()
