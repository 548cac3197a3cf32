"""An OCI image layout, read as a repository is: `manifest` by tag or digest, blobs by digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import UsageError
from imagekit.files import sha256
from imagekit.oci.reference import DIGEST
from imagekit.oci.registry import MANIFEST_MOST

NAME = "org.opencontainers.image.ref.name"
"""Annotation with an image's tag in a layout (OCI image specification, annotations)."""


@dataclass(frozen=True)
class Folder:
    path: Path

    def __str__(self) -> str:
        return f"oci:{self.path}"

    def manifest(self, name: str) -> tuple[bytes, str]:
        """(bytes, media type) of a tag or digest; without a name of the only image. Raises UsageError."""
        try:
            rows = json.loads((self.path / "index.json").read_bytes())["manifests"]
            named = {str((row.get("annotations") or {}).get(NAME, "")): row for row in rows}
            found = [named[name]] if name and name in named else [
                row for row in rows if not name or row["digest"] == name
            ]  # fmt: skip
            digests = {str(row["digest"]) for row in found}
            kinds = {str(row.get("mediaType", "")) for row in found}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{self.path} is no OCI layout", hint="--output oci:DIR makes one") from None
        if len(digests) != 1:
            tags = sorted(filter(None, named))
            raise UsageError(
                f"{self} has {len(digests) or 'no'} image{'s' if len(digests) > 1 else ''} {name}".rstrip(),
                details=tags, hint=f"oci:DIR:TAG; it has {', '.join(tags[:3]) or 'none with a tag'}",
            )  # fmt: skip
        return self.read(digests.pop()), kinds.pop()

    def blob(self, digest: str) -> Path:
        """Where a blob is. Raises UsageError where it is not."""
        if not DIGEST.fullmatch(digest):
            raise UsageError(f"{self} names a blob by {digest[:80]!r}", hint="only sha256 is known here")
        found = self.path / "blobs/sha256" / digest.removeprefix("sha256:")
        if not found.is_file():
            raise UsageError(f"{self} lacks the blob {digest[:19]}", hint="was the folder copied as a whole?")
        return found

    def whole(self, digest: str) -> Path:
        """A blob, compared with its digest. Raises UsageError for a damaged one."""
        path = self.blob(digest)
        if f"sha256:{sha256(path)}" != digest:
            raise UsageError(f"the blob {digest[:19]} of {self} is damaged", hint="write the image there once more")
        return path

    def read(self, digest: str, most: int = MANIFEST_MOST) -> bytes:
        """A small blob, compared with its digest."""
        with self.blob(digest).open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most or f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise UsageError(f"the blob {digest[:19]} of {self} is damaged", hint="write the image there once more")
        return content
