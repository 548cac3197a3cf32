"""Blobs on their way into a repository, some at a time, each of them once.

Nothing points to them before `push` has written a manifest, so that they may go while others are still made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.errors import Surroundings
from imagekit.oci.image import Stacked
from imagekit.oci.registry import Repository

AT_ONCE = 4
"""Blobs that are sent at a time."""


@dataclass
class Sent:
    """What was done."""

    blobs: list[str] = field(default_factory=list)
    """Digests of those that were sent."""
    bytes: int = 0
    mounted: int = 0
    there: int = 0


class Sending:
    """Give it up, or finish it; threads of it run until then."""

    def __init__(
        self, target: Repository, *, mount_from: Callable[[str], list[str]] = lambda _: [], trust: bool = True
    ) -> None:
        """`mount_from(digest)`: repositories of the same registry that may have a blob.

        `trust`: what the registry says it has is not sent.
        """
        self.target = target
        self.sent = Sent()
        self.progress: Callable[[int, int], None] = lambda *_: None
        """Called with (bytes sent, bytes to send), of those that are begun."""
        self._mount_from, self._trust = mount_from, trust
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._begun: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._numbers = [0, 0]
        self._stopped = threading.Event()

    def layer(self, one: Stacked) -> None:
        self.begin(f"sha256:{one.layer.digest}", one.layer.size, one.path)

    def begin(self, digest: str, size: int, source: Path | bytes) -> None:
        """Send a blob when there is room; once. Raises what went wrong with one before, Surroundings."""
        self._go_on()
        with self._lock:
            broken = [future for future in self._begun.values() if future.done() and future.exception()]
            if not broken and digest not in self._begun:
                self._begun[digest] = self._pool.submit(self._one, digest, size, source)
        for future in broken:
            future.result()

    def finish(self) -> Sent:
        """Wait for all that was begun. Raises Surroundings; then it is given up."""
        try:
            for future in list(self._begun.values()):
                future.result()
        except BaseException:
            self.give_up()
            raise
        self._pool.shutdown()
        return self.sent

    def give_up(self) -> None:
        """End what is on its way; after it has finished, nothing."""
        self._stopped.set()
        if any(not future.done() for future in self._begun.values()):
            self.target.wire.give_up()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, digest: str, size: int, source: Path | bytes) -> None:
        self._go_on()
        if self._trust and self.target.has(digest, size):
            with self._lock:
                self.sent.there += 1
            return
        if self._trust and any(self.target.mount(digest, name) for name in self._mount_from(digest)):
            with self._lock:
                self.sent.mounted += 1
            return
        with self._lock:
            self._numbers[1] += size
        self.target.upload(digest, size, source, self._told)
        with self._lock:
            self.sent.blobs.append(digest)
            self.sent.bytes += size

    def _told(self, more: int) -> None:
        self._go_on()
        with self._lock:
            self._numbers[0] += more
            self.progress(*self._numbers)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Surroundings("the push was given up")
