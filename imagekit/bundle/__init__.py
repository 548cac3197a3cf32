"""A bundle: a folder with all that images are composed of, for machines that have no network.

    bundle.json     what is in it, written last
    facts.json      the facts that its versions were chosen from
    locks/          the lock of each image, by its digest
    wheels/         every wheel, also those that were built from source; a store (imagekit.wheels)
    blobs/          layers of systems and of images to stand on, by their sha256
    mirror.tsv      what a mirror must hold for builds that fetch for themselves

It has nothing of the machine that made it, and no address but those that a profile names itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit.compat import facts
from imagekit.compat.facts import Facts
from imagekit.errors import UsageError
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock, changed, read
from imagekit.locking import own_path
from imagekit.resolution import Resolution
from imagekit.wheels import Store

DOCUMENT, FACTS, MIRROR = "bundle.json", "facts.json", "mirror.tsv"
VERSION = 1

OWN = {"env", "labels", "files", "expects", "checks"}
"""What a profile may change without anything else to be fetched."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""sha256, hexadecimal."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Blob(_Model):
    """A layer (oci.layer.Layer) and its line in the image's history."""

    digest: Digest
    diff_id: Digest
    size: int
    unpacked: int
    files: int
    told: str


class Built(_Model):
    """A wheel that was built from source."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.whl$")]
    sha256: Digest


class Held(_Model):
    """What one image is composed of, besides the wheels of its lock."""

    lock: Annotated[str, Field(pattern=r"^locks/[^/.][^/]*/[^/.][^/]*\.json$")]
    """Where a project has it."""
    digest: Digest
    """Of the lock, which is its name here."""
    layers: tuple[Blob, ...]
    """The system, the lowest first."""
    packages: dict[str, str]
    """Distribution package -> version."""
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    more: dict[str, Any] = {}
    """What else is handed on by the image below (oci.image.INHERITED)."""
    built: dict[str, Built] = {}
    """Package -> its wheel."""
    around: dict[str, str] = {}
    """Distribution package -> version, of those that only building from source needs."""


class Document(_Model):
    version: int
    imagekit: str
    """The version that wrote it."""
    images: tuple[Held, ...]


@dataclass(frozen=True)
class Bundle:
    folder: Path
    images: tuple[Held, ...]
    imagekit: str

    @property
    def store(self) -> Store:
        return Store(self.folder / "wheels")

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest

    def lock_of(self, held: Held) -> Lock:
        """Raises UsageError where it is gone, or another one than when the bundle was written."""
        path = self.lock_path(held)
        lock = read(path)
        if lock.digest != held.digest:
            raise UsageError(f"{path} is not as it was written", hint=_ANEW)
        return lock

    def lock_path(self, held: Held) -> Path:
        return self.folder / "locks" / f"{held.digest}.json"

    def facts(self) -> Facts:
        """Raises Error where this imagekit cannot read them."""
        return facts.read_json(self.folder / FACTS)

    def look(self, reference: str) -> Foundation | None:
        """What an image base offers, as a lock has it. Raises UsageError where none has that base."""
        for held in self.images:
            base = self.lock_of(held).resolution.base
            if base.kind == "image" and reference in (base.name, f"{base.name}@{base.digest}"):
                return base.found  # None where nobody could ask it
        raise UsageError(f"the bundle {self.folder} has no base {reference}", details=self._has(), hint=_ANEW)

    def answer(self, resolution: Resolution) -> tuple[Held, Lock]:
        """What the bundle has for it, and the lock, with what a profile may have changed since.

        Raises UsageError that says what there is.
        """
        path = str(own_path(resolution))
        held = next((one for one in self.images if one.lock == path), None)
        if held is None:
            raise UsageError(f"the bundle {self.folder} has nothing for {path}", details=self._has(), hint=_ANEW)
        lock = self.lock_of(held)
        different = changed(lock, resolution)
        if not OWN.issuperset(different):
            told = [f"the bundle is of imagekit {self.imagekit}"]
            raise UsageError(
                f"the bundle {self.folder} was fetched for another {path}: {', '.join(different)} changed",
                details=told, hint=_ANEW,
            )  # fmt: skip
        return held, lock.model_copy(update={"resolution": resolution}) if different else lock

    def _has(self) -> list[str]:
        return [f"it has {held.lock}" for held in self.images]


_ANEW = "imagekit fetch PROFILE --to a new folder, where there is a network; what is in the caches is not fetched again"


def opened(folder: Path) -> Bundle:
    """Raises UsageError for a folder that is no bundle of this imagekit."""
    path = folder / DOCUMENT
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(row, dict) and row.get("version") != VERSION:
            told = f"{row.get('imagekit', 'another version')} wrote it" if "version" in row else "it has no version"
            raise UsageError(f"{path} is not of this imagekit: {told}", hint=_ANEW)
        document = Document.model_validate(row)
    except FileNotFoundError:
        raise UsageError(f"{folder} is no bundle: it has no {DOCUMENT}", hint=_ANEW) from None
    except ValidationError as error:
        details = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:10]]
        raise UsageError(f"{path} is damaged", details=details, hint=_ANEW) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=_ANEW) from None
    return Bundle(folder, document.images, document.imagekit)
