"""A registry in memory for tests, with faults on demand.

It keeps the rules of the OCI distribution specification 1.1 that imagekit meets: uploads in one request and in pieces,
mounts, digests that are compared, manifests that need all of their blobs, tags in pages, referrers, removal.
test_registry_double.py asks for each of them, by requests of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-f-]*)")
BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
TAGS = re.compile(r"/v2/(.+)/tags/(list)")
REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})")
INDEX = "application/vnd.oci.image.index.v1+json"

SLOW = 0.5
"""Seconds that a slow finalise takes."""


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    kind: str
    """status | before | middle | after | truncated | wrong digest | lie | expired | slow finalise"""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request, as it came in."""

    number: int
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Registry:
    fault: Callable[[Asked], Fault | None] = lambda _: None
    token: bool = False
    """Whoever asks needs a token for the scope."""
    mounts: int = 201
    """The answer to a mount of a blob that is there."""
    refers: bool = True
    """Whether it knows referrers; many do not."""
    ranges: bool = True
    """Whether it sends parts of a blob."""
    address: str = ""
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Repository -> digest -> content."""
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def whole(self, repository: str, tag: str) -> bool:
        """Whether everything that a tag points to is there, in the bytes of its digest."""
        digest = self.tags.get(repository, {}).get(tag)
        if digest is None:
            return True  # no tag, no promise
        kind, content = self.manifests[repository][digest]
        manifest = json.loads(content)
        wanted = [manifest["config"], *manifest["layers"]]  # of an image; no test tags an index
        held = self.blobs.get(repository, {})
        return all(
            row["digest"] in held and len(held[row["digest"]]) == row["size"]
            and f"sha256:{hashlib.sha256(held[row['digest']]).hexdigest()}" == row["digest"]
            for row in wanted
        )  # fmt: skip


@contextlib.contextmanager
def served(registry: Registry) -> Iterator[Registry]:
    class Handler(_Handler):
        own = registry

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a connection that the test broke

    server = Server(("127.0.0.1", 0), Handler)
    registry.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.005), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    own: Registry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        r = self.own
        with r.lock:
            asked = Asked(len(r.asked), self.command, self.path, dict(self.headers))
            r.asked.append(asked)
        self.fault = r.fault(asked)
        kind = self.fault.kind if self.fault else ""
        if kind == "before":
            return self._break()
        body = self._body(half=kind == "middle")
        if kind == "middle":
            self._keep(body)
            return self._break()
        if self.fault and kind == "status":
            return self._reply(self.fault.status, headers=dict(self.fault.headers))
        if kind == "expired":
            with r.lock:
                r.tokens.clear()
        if not self.path.startswith("/token") and not self._allowed():
            return None
        if kind == "slow finalise" and self.command == "PUT" and UPLOAD.fullmatch(urlsplit(self.path).path):
            time.sleep(SLOW)
        with r.lock:
            self._route(body)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _body(self, half: bool) -> bytes:
        size = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(size // 2 if half else size)

    def _keep(self, half: bytes) -> None:
        """What came of a piece before the connection broke is kept, as registries do."""
        match = UPLOAD.fullmatch(urlsplit(self.path).path)
        with self.own.lock:
            got = self.own.uploads.get(match[2]) if match and self.command == "PATCH" else None
            if got is not None and self._follows(got):
                got += half

    def _follows(self, got: bytearray) -> bool:
        """Whether a piece begins where the last one ended; one that does not say is the next."""
        told = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", f"{len(got)}-0"))
        return told is not None and int(told[1]) == len(got)

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        kind = self.fault.kind if self.fault else ""
        if kind == "after":
            return self._break()
        self.send_response(status)
        for name, value in (headers or {}).items():
            if kind == "wrong digest" and name == "Docker-Content-Digest":
                value = "sha256:" + "0" * 64
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "truncated":
            self.wfile.flush()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True  # in order: the half arrives
            return None
        if self.command != "HEAD":
            self.wfile.write(body)
        return None

    def _error(self, status: int, code: str) -> None:
        self._reply(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _allowed(self) -> bool:
        r = self.own
        if not r.token or self.headers.get("Authorization", "").removeprefix("Bearer ") in r.tokens:
            return True
        realm = f'Bearer realm="http://{r.address}/token",service="double"'
        self.fault = None
        self._reply(401, headers={"WWW-Authenticate": realm})
        return False

    def _route(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            token = uuid.uuid4().hex
            self.own.tokens.add(token)
            return self._reply(200, json.dumps({"token": token}).encode())
        if parts.path in ("/v2", "/v2/"):
            return self._reply(200)
        for pattern, handle in (
            (UPLOAD, self._upload), (BLOB, self._blob), (MANIFEST, self._manifest), (TAGS, self._tags),
            (REFERRERS, self._referrers),
        ):  # fmt: skip
            if match := pattern.fullmatch(parts.path):
                return handle(match[1], match[2], query, body)
        return self._error(404, "NAME_UNKNOWN")

    def _blob(self, name: str, digest: str, query: dict[str, str], body: bytes) -> None:
        held = self.own.blobs.get(name, {}).get(digest)
        if self.command == "DELETE" and held is not None:
            del self.own.blobs[name][digest]
            return self._reply(202)
        if held is None and not (self.fault and self.fault.kind == "lie" and self.command == "HEAD"):
            return self._error(404, "BLOB_UNKNOWN")
        content = held or b""
        told = {"Docker-Content-Digest": digest}
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part and self.own.ranges and self.command == "GET" and int(part[1]) < len(content):
            told["Content-Range"] = f"bytes {part[1]}-{len(content) - 1}/{len(content)}"
            return self._reply(206, content[int(part[1]) :], told)
        return self._reply(200, content, {**told, "Content-Length": str(len(content))} if held else told)

    def _upload(self, name: str, upload: str, query: dict[str, str], body: bytes) -> None:
        r = self.own
        if self.command == "POST":
            if "mount" in query:
                held = r.blobs.get(query.get("from", ""), {}).get(query["mount"])
                if held is not None and r.mounts == 201:
                    r.blobs.setdefault(name, {})[query["mount"]] = held
                    return self._reply(201, headers={"Location": f"/v2/{name}/blobs/{query['mount']}"})
                if r.mounts >= 400:
                    return self._error(r.mounts, "UNSUPPORTED")
            made = str(uuid.uuid4())
            r.uploads[made] = bytearray()
            return self._reply(202, headers={"Location": f"/v2/{name}/blobs/uploads/{made}?state=x", "Range": "0-0"})
        if upload not in r.uploads:
            return self._error(404, "BLOB_UPLOAD_UNKNOWN")
        got = r.uploads[upload]
        here = {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=x", "Range": f"0-{len(got) - 1}"}
        if self.command == "GET":
            return self._reply(204, headers=here)
        if self.command == "DELETE":
            del r.uploads[upload]
            return self._reply(204)
        if self.command == "PATCH":
            if not self._follows(got):
                return self._reply(416, headers=here)
            got += body
            return self._reply(202, headers={**here, "Range": f"0-{len(got) - 1}"})
        content = bytes(got) + body
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if digest != query.get("digest"):
            return self._error(400, "DIGEST_INVALID")
        del r.uploads[upload]
        r.blobs.setdefault(name, {})[digest] = content
        return self._reply(201, headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _manifest(self, name: str, reference: str, query: dict[str, str], body: bytes) -> None:
        r = self.own
        kept, tags = r.manifests.setdefault(name, {}), r.tags.setdefault(name, {})
        if self.command == "PUT":
            manifest: dict[str, Any] = json.loads(body)
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if reference.startswith("sha256:") and reference != digest:
                return self._error(400, "DIGEST_INVALID")
            wanted = [manifest["config"], *manifest["layers"]] if "config" in manifest else []
            if any(row["digest"] not in r.blobs.get(name, {}) for row in wanted):
                return self._error(400, "MANIFEST_BLOB_UNKNOWN")
            if any(row["digest"] not in kept for row in manifest.get("manifests", [])):
                return self._error(400, "MANIFEST_UNKNOWN")
            kept[digest] = (self.headers["Content-Type"], body)
            if not reference.startswith("sha256:"):
                tags[reference] = digest
            told = {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}
            if r.refers and "subject" in manifest:
                told["OCI-Subject"] = manifest["subject"]["digest"]
            return self._reply(201, headers=told)
        if self.command == "DELETE":
            if reference in tags:
                del tags[reference]
            elif reference in kept:
                del kept[reference]
                r.tags[name] = {tag: digest for tag, digest in tags.items() if digest != reference}
            else:
                return self._error(404, "MANIFEST_UNKNOWN")
            return self._reply(202)
        digest = reference if reference in kept else tags.get(reference, "")
        if not digest:
            return self._error(404, "MANIFEST_UNKNOWN")
        kind, content = kept[digest]
        return self._reply(200, content, {"Content-Type": kind, "Docker-Content-Digest": digest})

    def _tags(self, name: str, _: str, query: dict[str, str], body: bytes) -> None:
        if name not in self.own.manifests:
            return self._error(404, "NAME_UNKNOWN")
        found = sorted(tag for tag in self.own.tags[name] if tag > query.get("last", ""))
        page = found[: int(query.get("n", len(found)))]
        more = len(page) < len(found) and page
        next_page = (
            f'</v2/{name}/tags/list?{urlencode({"n": len(page), "last": page[-1]})}>; rel="next"' if more else ""
        )
        text = json.dumps({"name": name, "tags": page}).encode()
        return self._reply(200, text, {"Content-Type": "application/json", **({"Link": next_page} if more else {})})

    def _referrers(self, name: str, digest: str, query: dict[str, str], body: bytes) -> None:
        """Of an image that is not there too: what refers to it may come first."""
        if not self.own.refers:
            return self._error(404, "UNSUPPORTED")
        rows = []
        for own, (kind, content) in self.own.manifests.get(name, {}).items():
            manifest = json.loads(content)
            artifact = manifest.get("artifactType") or manifest.get("config", {}).get("mediaType")
            if manifest.get("subject", {}).get("digest") == digest:
                row = {"mediaType": kind, "digest": own, "size": len(content), "artifactType": artifact}
                rows.append({**row, "annotations": manifest.get("annotations", {})})
        told = {"Content-Type": INDEX}
        if "artifactType" in query:
            rows = [row for row in rows if row["artifactType"] == query["artifactType"]]
            told["OCI-Filters-Applied"] = "artifactType"
        text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}).encode()
        return self._reply(200, text, told)
