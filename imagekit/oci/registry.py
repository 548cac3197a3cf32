"""One repository of a registry: blobs, manifests, tags. OCI distribution specification 1.1."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlencode

import requests

from imagekit.errors import Surroundings
from imagekit.oci.answers import AGAIN, ATTEMPTS, Refused
from imagekit.oci.body import Counted, Progress, part
from imagekit.oci.challenge import pause
from imagekit.oci.image import INDEX, MANIFEST
from imagekit.oci.reference import DIGEST
from imagekit.oci.wire import Wire

DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = ", ".join((MANIFEST, INDEX, *DOCKER))

WHOLE = 2**30
"""Bytes up to which a blob is sent in one request; a larger one goes in pieces, and goes on after a break."""

CHUNK = 2**26
"""Bytes of such a piece."""

MANIFEST_MOST = 2**22
"""Bytes of a manifest, which registries need not take larger (specification, "Pushing manifests")."""

PAGES = 1000
"""Of one list: a registry whose pages lead in a circle comes to an end."""

SPOILT = {400, 404, 416, *AGAIN}
"""Replies to an upload after which a new one may go well."""

RESUMES = 20
"""How often the upload of one blob goes on after a break."""


@dataclass(frozen=True)
class Repository:
    wire: Wire
    name: str

    @property
    def pull(self) -> str:
        return f"repository:{self.name}:pull"

    @property
    def push(self) -> str:
        return f"repository:{self.name}:pull,push"

    def has(self, digest: str, size: int, *, reading: bool = False) -> bool:
        """Whether a blob is there, in its size. `reading`: nobody is going to send it."""
        answer = self.wire.ask("HEAD", self._blob(digest), self.pull if reading else self.push, fine=(404,))
        told = answer.headers.get("Content-Length", "")
        return answer.status_code == 200 and (not told.isdigit() or int(told) == size)

    def mount(self, digest: str, source: str) -> bool:
        """Take a blob over from another repository of the registry; whether it did.

        Quay refuses a mount without `from`, others any mount at all: then the blob is sent.
        """
        query = urlencode({"mount": digest, "from": source})
        scope = f"{self.push} repository:{source}:pull"
        try:
            answer = self.wire.ask("POST", f"/v2/{self.name}/blobs/uploads/?{query}", scope)
        except Refused:
            return False
        if answer.status_code == 202:
            self._cancel(answer)
        return answer.status_code == 201

    def upload(self, digest: str, size: int, source: Path | bytes, progress: Progress = lambda _: None) -> None:
        """Send a blob. Raises Surroundings, or Refused, as where its bytes are not those of the digest.

        In one request: GHCR takes no piece above 4 MB, ECR tells wrongly how far it is. Only where that breaks with a
        large blob does it go in pieces.
        """
        try:
            self._whole(digest, size, source, progress)
        except Refused:
            raise
        except Surroundings:
            if isinstance(source, bytes) or size <= WHOLE:
                raise
            self._in_pieces(digest, size, source, progress)

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> str:
        """`reference`: a tag, or the digest. Returns the digest of its subject where the registry knows referrers."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = f"/v2/{self.name}/manifests/{reference}"
        answer = self.wire.ask("PUT", path, self.push, body=content, headers={"Content-Type": media_type})
        told = answer.headers.get("Docker-Content-Digest", digest)
        if told != digest:
            raise Surroundings(
                f"{self.wire.host} took a manifest and made another of it",
                details=[f"sent  {digest}", f"kept  {told}"], hint="a proxy that rewrites what passes?",
            )  # fmt: skip
        return answer.headers.get("OCI-Subject", "")

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """(bytes, media type) of a tag or digest; compared with the digest. Raises Refused where there is none."""
        path = f"/v2/{self.name}/manifests/{reference}"
        answer = self.wire.ask("GET", path, self.pull, headers={"Accept": ACCEPT}, stream=True)
        content = self._all(answer, MANIFEST_MOST)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        told = reference if reference.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", digest)
        if told != digest:
            raise Surroundings(f"{self.wire.host} sends another manifest than {told}")
        kind = answer.headers.get("Content-Type", "").partition(";")[0] or str(json.loads(content).get("mediaType", ""))
        return content, kind

    def digest_of(self, tag: str) -> str:
        """The digest of a tag's manifest, asked without reading it; empty where there is no such tag."""
        path = f"/v2/{self.name}/manifests/{tag}"
        answer = self.wire.ask("HEAD", path, self.pull, headers={"Accept": ACCEPT}, fine=(404,))
        if answer.status_code == 404:
            return ""
        told = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(told):
            return told
        return f"sha256:{hashlib.sha256(self.manifest(tag)[0]).hexdigest()}"

    def read(self, digest: str, most: int = MANIFEST_MOST) -> bytes:
        """A small blob, such as a config, compared with its digest."""
        answer = self.wire.ask("GET", self._blob(digest), self.pull, stream=True)
        content = self._all(answer, most)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise Surroundings(f"{self.wire.host} sends other bytes than {digest[:19]}")
        return content

    def download(self, digest: str, out: IO[bytes]) -> None:
        """A blob of any size, compared with its digest. Raises Surroundings."""
        hashed = hashlib.sha256()
        with self.wire.ask("GET", self._blob(digest), self.pull, stream=True) as answer:
            try:
                for piece in answer.iter_content(2**20):
                    hashed.update(piece)
                    out.write(piece)
            except requests.RequestException as error:
                raise Surroundings(
                    f"{self.wire.host} broke off in the middle of a blob ({type(error).__name__})"
                ) from None
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise Surroundings(f"{self.wire.host} sends other bytes than {digest[:19]}")

    def delete(self, digest: str) -> None:
        """A manifest, with all tags of it; one that is not there is gone. Raises Refused, as where nobody may."""
        path = f"/v2/{self.name}/manifests/{digest}"
        self.wire.ask("DELETE", path, f"repository:{self.name}:pull,push,delete", fine=(404,))

    def tags(self) -> list[str]:
        """All of them, over as many pages as there are."""
        pages = self.pages(f"/v2/{self.name}/tags/list?n=1000", fine=(404,))
        try:
            return [str(tag) for page in pages if page.status_code == 200 for tag in page.json().get("tags") or []]
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise Surroundings(f"{self.wire.host} answers for tags with something else") from None

    def pages(self, path: str, fine: tuple[int, ...] = ()) -> Iterator[requests.Response]:
        """An answer and those that its Link leads to."""
        for _ in range(PAGES):
            answer = self.wire.ask("GET", path, self.pull, fine=fine)
            yield answer
            link = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
            if not link:
                return
            path = link[1]

    def _blob(self, digest: str) -> str:
        return f"/v2/{self.name}/blobs/{digest}"

    def _all(self, answer: requests.Response, most: int) -> bytes:
        got = bytearray()
        try:
            with answer:
                for piece in answer.iter_content(2**16):
                    got += piece
                    if len(got) > most:
                        raise Surroundings(f"{self.wire.host} sends more than {most} bytes where less is due")
        except requests.RequestException as error:
            raise Surroundings(f"{self.wire.host} broke off ({type(error).__name__})") from None
        return bytes(got)

    def _started(self) -> str:
        """The address of a new upload. To be used as it is given (specification, "Pushing blobs")."""
        answer = self.wire.ask("POST", f"/v2/{self.name}/blobs/uploads/", self.push, body=b"")
        location = answer.headers.get("Location", "")
        if answer.status_code != 202 or not location:
            raise Surroundings(f"{self.wire.host} starts no upload ({answer.status_code})")
        return self.wire.at(location)

    def _cancel(self, answer: requests.Response) -> None:
        location = answer.headers.get("Location", "")
        if location:
            self.wire.ask("DELETE", self.wire.at(location), self.push, fine=tuple(range(400, 500)))

    def _whole(self, digest: str, size: int, source: Path | bytes, progress: Progress) -> None:
        """In one PUT. When that breaks the upload is spoilt, so a new one is begun, or it has all arrived."""
        for tried in range(1, ATTEMPTS + 1):
            target = _with(self._started(), digest)
            counted = Counted(progress)
            try:
                self.wire.ask(
                    "PUT", target, self.push, body=lambda: counted.opened(source), size=size, once=True,  # noqa: B023
                    headers={"Content-Type": "application/octet-stream"},
                )  # fmt: skip
                return
            except Surroundings as error:
                if isinstance(error, Refused) and error.status not in SPOILT:
                    raise
                if self.has(digest, size):
                    return
                if tried == ATTEMPTS:
                    raise
                counted.forgotten()
                self.wire.rest(pause(tried, error.after if isinstance(error, Refused) else ""))

    def _in_pieces(self, digest: str, size: int, source: Path, progress: Progress) -> None:
        """In PATCHes, and on from where the registry says it is after one that broke."""
        target, done, broken = self._started(), 0, 0
        while done < size:
            length = min(CHUNK, size - done)
            span = {"Content-Range": f"{done}-{done + length - 1}", "Content-Type": "application/octet-stream"}
            at = done
            try:
                answer = self.wire.ask(
                    "PATCH", target, self.push, body=lambda: part(source, at, length), size=length, once=True,  # noqa: B023
                    headers=span,
                )  # fmt: skip
                target, done = self.wire.at(answer.headers.get("Location") or target), done + length
                progress(length)
            except Surroundings as error:
                broken += 1
                if (isinstance(error, Refused) and error.status not in SPOILT) or broken > RESUMES:
                    raise
                self.wire.rest(pause(broken, ""))
                target, now = self._where(target)
                progress(now - done)
                done = now
        try:
            self.wire.ask("PUT", _with(target, digest), self.push, body=b"", size=size)
        except Refused as error:
            if error.status != 404 or not self.has(digest, size):  # the answer to the first was lost on the way
                raise

    def _where(self, target: str) -> tuple[str, int]:
        """How much of an upload the registry has; a new one where it has forgotten it."""
        answer = self.wire.ask("GET", target, self.push, fine=(404,))
        match = re.fullmatch(r"(?:bytes=)?0-([1-9]\d*)", answer.headers.get("Range", ""))  # 0-0 is said of nothing
        if answer.status_code == 404:
            return self._started(), 0
        return self.wire.at(answer.headers.get("Location") or target), int(match[1]) + 1 if match else 0


def _with(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
