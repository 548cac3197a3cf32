"""One repository of a registry: blobs, manifests, tags. OCI distribution specification 1.1."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlencode

import requests

from imagekit.errors import Surroundings
from imagekit.oci.answers import ATTEMPTS, Refused, stored_length
from imagekit.oci.body import Progress
from imagekit.oci.challenge import pause
from imagekit.oci.image import INDEX, MANIFEST
from imagekit.oci.reference import DIGEST
from imagekit.oci.upload import Upload
from imagekit.oci.wire import Wire

DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = ", ".join((MANIFEST, INDEX, *DOCKER))

MANIFEST_MOST = 2**22
"""Bytes of a manifest, which registries need not take larger (specification, "Pushing manifests")."""

PAGES = 1000
"""Of one list: a registry whose pages lead in a circle comes to an end."""


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
        """Send a blob. Raises Surroundings, or Refused, as where its bytes are not those of the digest."""
        path = f"/v2/{self.name}/blobs/uploads/"
        Upload(self.wire, self.push, path, digest, size, source, progress, lambda: self.has(digest, size)).send()

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
        content, told_of = self._all(path, MANIFEST_MOST, {"Accept": ACCEPT})
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        told = reference if reference.startswith("sha256:") else told_of.get("Docker-Content-Digest", digest)
        if told != digest:
            raise Surroundings(f"{self.wire.host} sends another manifest than {told}")
        kind = told_of.get("Content-Type", "").partition(";")[0] or str(json.loads(content).get("mediaType", ""))
        return content, kind

    def digest_of(self, tag: str, *, once: bool = False) -> str:
        """The digest of a tag's manifest, asked without reading it; empty where there is no such tag.

        `once`: a registry that does not answer is not asked again.
        """
        path = f"/v2/{self.name}/manifests/{tag}"
        answer = self.wire.ask("HEAD", path, self.pull, headers={"Accept": ACCEPT}, fine=(404,), once=once)
        if answer.status_code == 404:
            return ""
        told = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(told):
            return told
        return f"sha256:{hashlib.sha256(self.manifest(tag)[0]).hexdigest()}"

    def read(self, digest: str, most: int = MANIFEST_MOST) -> bytes:
        """A small blob, such as a config, compared with its digest."""
        content, _ = self._all(self._blob(digest), most)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise Surroundings(f"{self.wire.host} sends other bytes than {digest[:19]}")
        return content

    def download(self, digest: str, out: IO[bytes]) -> None:
        """A blob of any size, written to `out` and compared with its digest. Raises Surroundings.

        What breaks off goes on where it was, where a part is sent (RFC 9110, Range); else it is read up to there again.
        """
        hashed, done, whole = hashlib.sha256(), 0, 0
        for tried in range(1, ATTEMPTS + 1):
            # a part of what is stored, not of what is compressed on the way
            ranged = {"Range": f"bytes={done}-", "Accept-Encoding": "identity"} if 0 < done < whole else {}
            with self.wire.ask("GET", self._blob(digest), self.pull, stream=True, headers=ranged) as answer:
                begins = f"bytes {done}-" if answer.status_code == 206 else ""
                at = done if begins else 0
                whole = whole if begins else stored_length(answer)
                try:
                    if not answer.headers.get("Content-Range", "").startswith(begins):
                        whole = 0  # of no use: what comes next is all of it
                        raise requests.exceptions.InvalidHeader("another part than was asked for")
                    for piece in answer.iter_content(2**20):
                        more = piece[max(done - at, 0) :]
                        at += len(piece)
                        hashed.update(more)
                        out.write(more)
                        done += len(more)
                    break
                except requests.RequestException as error:
                    if tried == ATTEMPTS:
                        what = f"{self.wire.host} broke off {tried} times in the middle of a blob"
                        raise Surroundings(f"{what} ({type(error).__name__})") from None
            self.wire.rest(pause(tried, ""))
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

    def _all(self, path: str, most: int, headers: Mapping[str, str] | None = None) -> tuple[bytes, Mapping[str, str]]:
        """(bytes, headers) of something small; asked again when it breaks off."""
        for tried in range(1, ATTEMPTS + 1):
            got = bytearray()
            try:
                with self.wire.ask("GET", path, self.pull, stream=True, headers=headers) as answer:
                    for piece in answer.iter_content(2**16):
                        got += piece
                        if len(got) > most:
                            raise Surroundings(f"{self.wire.host} sends more than {most} bytes where less is due")
                    return bytes(got), answer.headers
            except requests.RequestException as error:
                if tried == ATTEMPTS:
                    what = f"{self.wire.host} broke off {tried} times"
                    raise Surroundings(f"{what} ({type(error).__name__})") from None
            self.wire.rest(pause(tried, ""))
        raise AssertionError("not reached")

    def _cancel(self, answer: requests.Response) -> None:
        """An upload that is not needed. Once and as it comes: the registry clears it away by itself, in days."""
        if location := answer.headers.get("Location", ""):
            with contextlib.suppress(Surroundings):
                self.wire.ask("DELETE", location, self.push, once=True)
