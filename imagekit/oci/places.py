"""Which repositories of a registry have which blobs, as far as this machine has sent or seen them.

Another repository of that registry takes them over from there, and nothing is sent (OCI distribution specification 1.1,
"Mounting a blob from another repository"). It may be out of date: a registry that does not have one any more says so,
and the blob is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from imagekit.files import write

MOST = 4
"""Repositories that are asked for one blob: each costs a request."""

REMEMBERED = 5000
"""Blobs of one repository."""


class Places:
    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder / hashlib.sha256(host.encode()).hexdigest()[:16]
        self._read: dict[str, dict[str, None]] | None = None

    def having(self, digest: str, besides: str) -> list[str]:
        """Repositories of the host, other than one, to which a blob was sent."""
        if self._read is None:
            self._read = {
                name: digests for path in sorted(self._folder.glob("*.json")) for name, digests in _read(path)
            }
        return [name for name, digests in self._read.items() if digest in digests and name != besides][:MOST]

    def note(self, repository: str, digests: Iterable[str]) -> None:
        """Its registry has confirmed that these are there."""
        path = self._folder / f"{hashlib.sha256(repository.encode()).hexdigest()[:16]}.json"
        known = dict(_read(path)).get(repository, {})
        new = dict.fromkeys(digests)
        if not new.keys() <= known.keys():
            kept = [*(digest for digest in known if digest not in new), *new][-REMEMBERED:]
            write(path, json.dumps({"repository": repository, "blobs": kept}).encode())


def _read(path: Path) -> list[tuple[str, dict[str, None]]]:
    """(repository, digests); nothing of a file that is damaged."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        return [(str(row["repository"]), dict.fromkeys(str(one) for one in row["blobs"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return []
