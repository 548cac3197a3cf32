"""One blob into a repository: in one request, and in pieces where that does not get a large one through.

OCI distribution specification 1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from imagekit.errors import Surroundings
from imagekit.oci.answers import AGAIN, ATTEMPTS, Refused
from imagekit.oci.body import Counted, Progress, part
from imagekit.oci.challenge import pause
from imagekit.oci.wire import Wire

WHOLE = 2**30
"""Bytes up to which a blob is sent in one request only; of a larger one that breaks, the rest goes in pieces."""

CHUNK = 2**26
"""Bytes of such a piece."""

LEAST = 2**20
"""Bytes of the smallest piece that is tried where larger ones are refused."""

SPOILT = {400, 404, 416, *AGAIN}
"""Replies to an upload after which a new one may go well."""

TOO_LONG = {408, 413, *range(500, 600)} - {507}
"""Replies to a large blob that smaller requests may not get: from what stands before a registry, too. 507: no space."""

OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Upload:
    wire: Wire
    scope: str
    path: str
    """Where uploads to the repository begin."""
    digest: str
    size: int
    source: Path | bytes
    progress: Progress
    there: Callable[[], bool]
    """Asks whether the repository has the blob."""

    def send(self) -> None:
        """Raises Surroundings, or Refused, as where its bytes are not those of the digest.

        In one request: GHCR takes no piece above 4 MB, ECR tells wrongly how far it is. Only where that breaks with a
        large blob does it go in pieces.
        """
        large = self.source if isinstance(self.source, Path) and self.size > WHOLE else None
        if not self._whole(large is not None) and large:
            self._in_pieces(large)

    def _whole(self, large: bool) -> bool:
        """In one PUT; whether it arrived. When it breaks the upload is spoilt, so a new one begins; not of a large one.

        Raises Surroundings for a small one, and for what pieces would not change.
        """
        for tried in range(1, ATTEMPTS + 1):
            target = _with(self._started(), self.digest)
            counted = Counted(self.progress)
            try:
                self.wire.ask(
                    "PUT", target, self.scope, body=lambda: counted.opened(self.source), size=self.size, once=True,  # noqa: B023
                    headers=OCTETS,
                )  # fmt: skip
                return True
            except Surroundings as error:
                status, after = _said(error)
                in_pieces = large and (not status or status in TOO_LONG)
                if status and status not in SPOILT and not in_pieces:
                    raise
                if self.there():
                    return True
                if tried == ATTEMPTS and not in_pieces:
                    raise
                counted.forgotten()
                self.wire.rest(pause(tried, after))
                if in_pieces:
                    return False
        raise AssertionError("not reached")

    def _in_pieces(self, source: Path) -> None:
        """In PATCHes, and on from where the registry says it is after one that broke.

        `tried`: without any getting further than it was; so an upload that is forgotten time and again comes to an end.
        """
        target, done, furthest, tried, most = self._started(), 0, 0, 0, CHUNK
        while True:
            length = min(most, self.size - done)
            try:
                if not length:
                    self.wire.ask("PUT", _with(target, self.digest), self.scope, body=b"", size=self.size)
                    return
                target, now = self._piece(target, source, done, length), done + length
            except Surroundings as error:
                status, after = _said(error)
                if not length and status == 404 and self.there():  # the answer to the first was lost on the way
                    return
                tried += 1
                in_vain = status not in {0, 413, *SPOILT} if length else status != 404
                if in_vain or tried >= ATTEMPTS:
                    raise
                if status == 413:
                    most = max(most // 4, min(most, LEAST))
                self.wire.rest(pause(tried, after))
                target, now = self._where(target, done + length)
            self.progress(now - done)
            done = now
            if done > furthest:
                furthest, tried = done, 0

    def _piece(self, target: str, source: Path, start: int, length: int) -> str:
        """Send one; where the next goes."""
        answer = self.wire.ask(
            "PATCH", target, self.scope, body=lambda: part(source, start, length), size=length, once=True,
            headers={**OCTETS, "Content-Range": f"{start}-{start + length - 1}"},
        )  # fmt: skip
        return self.wire.at(answer.headers.get("Location") or target)

    def _where(self, target: str, most: int) -> tuple[str, int]:
        """How much of an upload the registry has; a new one where it has forgotten it, or has what was not sent."""
        answer = self.wire.ask("GET", target, self.scope, fine=(404,))
        match = re.fullmatch(r"(?:bytes=)?0-([1-9]\d*)", answer.headers.get("Range", ""))  # 0-0 is said of nothing
        now = int(match[1]) + 1 if match else 0
        if answer.status_code == 404 or now > most:
            return self._started(), 0
        return self.wire.at(answer.headers.get("Location") or target), now

    def _started(self) -> str:
        """The address of a new upload. To be used as it is given (specification, "Pushing blobs")."""
        answer = self.wire.ask("POST", self.path, self.scope, body=b"")
        location = answer.headers.get("Location", "")
        if answer.status_code != 202 or not location:
            raise Surroundings(f"{self.wire.host} starts no upload ({answer.status_code})")
        return self.wire.at(location)


def _said(error: Surroundings) -> tuple[int, str]:
    """(status, Retry-After) of a reply; (0, "") where none came."""
    return (error.status, error.after) if isinstance(error, Refused) else (0, "")


def _with(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
