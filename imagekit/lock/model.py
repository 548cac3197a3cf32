"""The lock, its file, and whether it still answers what is asked.

The lock embeds the resolution it was made for, so that everything downstream knows only the lock, and a lock is stale
exactly when resolving the profile again gives something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit import files
from imagekit.errors import UsageError
from imagekit.resolution import Resolution, Want

SCHEMA = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Package(_Model):
    name: str
    """Normalised (PEP 503)."""
    version: str
    kind: str
    """wheel | sdist | standin"""
    file: Annotated[str, Field(pattern=r"^[^/.][^/]*$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: int = 0
    """Bytes of the file."""
    index: str = ""
    """Name of the index, never its URL; empty for a stand-in, which imagekit makes itself, and for a git source."""
    git: str = ""
    """Address of the repository that a git source comes from, as the profile names it."""
    ref: str = ""
    """What was asked of that repository."""
    commit: str = ""
    """What `ref` was when it was locked: 40 digits."""
    needed_by: tuple[str, ...] = ()
    """Other packages, or the profile, wish or fact that asked for it."""


class Tool(_Model):
    """A package used while building, never in the image: uv, and what a source build requires."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """sha256 of each of its files that would do."""


def needs(packages: Iterable[Package], name: str) -> tuple[Package, ...]:
    """A package and all that it needs, in the order of `packages`."""
    rows, names = tuple(packages), {name}
    while more := {row.name for row in rows if not names.isdisjoint(row.needed_by)} - names:
        names |= more
    return tuple(row for row in rows if row.name in names)


class Lock(_Model):
    version: int = SCHEMA
    created: str
    """ISO date; also the creation time of the image."""
    resolution: Resolution
    hidden: tuple[Want, ...] = ()
    """Requirements that the facts added once versions were known; `why` names the fact."""
    packages: tuple[Package, ...]
    tools: tuple[Tool, ...]
    """What builds the image: uv."""
    build_requires: dict[str, tuple[Tool, ...]]
    """package -> what its source build requires."""

    def package(self, name: str) -> Package | None:
        return next((package for package in self.packages if package.name == name), None)

    def beside(self, name: str) -> tuple[Package, ...]:
        """torch and all that it needs, where a package is compiled against it; nothing for any other package."""
        compiles = any(build.package == name and build.ops for build in self.resolution.builds)
        return needs(self.packages, "torch") if compiles else ()

    @property
    def epoch(self) -> int:
        """The image's creation time, seconds: noon of the day of the lock, so that no zone makes it another day."""
        from datetime import datetime, timezone

        return int(datetime.fromisoformat(f"{self.created}T12:00:00").replace(tzinfo=timezone.utc).timestamp())

    @property
    def digest(self) -> str:
        return hashlib.sha256(dump(self).encode()).hexdigest()


def dump(lock: Lock) -> str:
    return json.dumps(lock.model_dump(mode="json", exclude_defaults=True), indent=1, sort_keys=True) + "\n"


def read(path: Path) -> Lock:
    """Raises UsageError for a file that is not a lock of this schema."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Lock(**raw)
    except (OSError, ValueError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{path} is not a lock of this imagekit: {reason}", hint="imagekit lock makes it anew"
        ) from None


def write(lock: Lock, path: Path) -> None:
    """All or nothing: an interrupted write leaves the old lock as it was."""
    files.write(path, dump(lock).encode())


def stale(lock: Lock, resolution: Resolution) -> str:
    """What changed since the lock was made, in a few words; empty when it still answers."""
    return ", ".join(changed(lock, resolution))


def changed(lock: Lock, resolution: Resolution) -> list[str]:
    """Keys of the resolution that are others than when the lock was made; what is only told to people is none."""
    told = {"reasons", "notes"}
    old = lock.resolution.model_dump(mode="json", exclude=told)
    new = resolution.model_dump(mode="json", exclude=told)
    return [key for key in new if old.get(key) != new[key]]


def folder_name(resolution: Resolution) -> str:
    """<profile>[+<overlay>...]: no name of a profile or an overlay has a +."""
    return "+".join([resolution.profile, *resolution.overlays])


def file_name(resolution: Resolution) -> str:
    """<torch>-cuda<x.y>-py<xy>[-<base>][-with-<digest>].json: one lock per torch, CUDA, Python and base."""
    suffix = [entry for entry in resolution.differs if not entry.startswith("py")]
    python = resolution.python.replace(".", "")
    return "-".join([f"{resolution.torch}-cuda{resolution.cuda}-py{python}", *suffix]) + ".json"
