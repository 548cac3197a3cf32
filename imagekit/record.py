"""The record of each build: what names in the lock became. Distribution packages move; this says which were had."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagekit.files import write

KEEP = 50
"""Records kept per profile tag."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    tag: str
    """The profile tag."""
    key: str
    created: str
    """yyyymmdd of the first build with this key."""
    image: str
    """Image id."""
    lock: str
    """Digest of the lock."""
    base: str
    torch: str
    cuda: str
    python: str
    system: dict[str, str]
    """Distribution package -> version."""
    built: dict[str, str]
    """Wheel built from source -> sha256."""
    packages: dict[str, str]
    """Python package -> version."""
    trust: dict[str, str] = Field(default_factory=dict)
    """Root that an overlay installed -> sha256 of the certificate."""
    scope: str = ""
    """Digest of what the image is made from besides its packages; empty where nothing pins that."""
    parts: dict[str, str] = Field(default_factory=dict)
    """What was to be made: Plan.parts, and the format of layers where they are ours; empty where nobody remembers."""
    proven: str = ""
    """yyyymmdd, once the proof passed."""


def top() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "imagekit" / "records"


def folder(tag: str) -> Path:
    return top() / tag.replace("/", "_").replace(":", "_")


def of_image(image: str) -> list[Record]:
    """The records of an image by its id, whatever its tags."""
    tags = {path.parent for path in top().glob("*/*.json")}
    return [record for place in sorted(tags) for record in all_of(place.name) if record.image == image]


def all_of(tag: str) -> list[Record]:
    """Records of a tag, oldest first. One that cannot be read is passed over: it is history, not an input."""
    records = []
    for path in sorted(folder(tag).glob("*.json"), key=lambda path: path.stat().st_mtime):
        try:
            records.append(Record.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, ValidationError):
            continue
    return records


def save(record: Record) -> Path:
    path = folder(record.tag) / f"{record.created}-{record.key[:12]}.json"
    write(path, f"{record.model_dump_json(indent=1)}\n".encode(), 0o600)
    for old in sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime)[:-KEEP]:
        old.unlink()
    return path


def drift(new: Record) -> list[str]:
    """What moved since the last record of the tag that is another image: a line for people each."""
    older = [old for old in all_of(new.tag) if old.key != new.key]
    if not older:
        return []
    found, last = [], older[-1]
    moved = changes(last.system, new.system)
    if moved:
        more = " ..." if len(moved) > 3 else ""
        found.append(f"{len(moved)} distribution packages moved: {', '.join(moved[:3])}{more}")
    odd = [line for line in changes(last.built, new.built) if last.lock == new.lock and "none" not in line]
    if odd:
        found.append(f"a source build gave other bytes than before: {', '.join(odd)[:150]}")
    return found


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """name old -> new, one each, in order of name."""
    lines = []
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            lines.append(f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}")
    return lines
