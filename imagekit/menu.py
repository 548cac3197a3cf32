"""What can be built: every built-in profile, and the one of this folder, with what is known of it on this machine.

Nothing is asked of a network: versions are the facts', sizes the engine's or the lock's, proofs those of the records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit import amounts, locking, pipeline, profile, record, tag
from imagekit.errors import Error
from imagekit.lock.model import read
from imagekit.profile import Wishes
from imagekit.site import Site


@dataclass(frozen=True)
class Entry:
    name: str
    about: str = ""
    torch: str = ""
    cuda: str = ""
    python: str = ""
    tag: str = ""
    """The profile tag; empty where there is no lock, and so no image."""
    size: int | None = None
    """Bytes: of the image, else of the lock's wheels."""
    size_of: str = ""
    """image | wheels"""
    proven: str = ""
    """yyyymmdd of the last proof on this machine."""
    problem: str = ""
    """Why nothing more is known: the profile or its lock is wrong, or no versions satisfy it."""


def menu(site: Site, image_size: Callable[[str], int | None]) -> list[Entry]:
    """`image_size`: bytes of an image by its tag, None where it is not known. The folder's own profile comes last."""
    own = ["."] if Path("imagekit.yaml").is_file() else []
    return [_entry(name, site, image_size) for name in [*profile.names(), *own]]


def _entry(name: str, site: Site, image_size: Callable[[str], int | None]) -> Entry:
    try:
        asked = profile.load(name)
        if (asked.base or site.settings.base.default).startswith("image:"):  # what it has may have to be pulled
            return Entry(name, asked.about, asked.torch or "", asked.cuda or "", asked.python or "")
        the_profile, r = pipeline.resolved(name, Wishes(), site, lambda *_: None)
        path = locking.path_of(the_profile, r)
        lock = read(path) if path.is_file() else None
        its_tag = tag.of_profile(lock.resolution, site.settings.tags) if lock else ""
    except Error as error:
        return Entry(name, problem=error.message)
    size, size_of = image_size(its_tag) if its_tag else None, "image"
    if size is None and lock:
        size, size_of = sum(package.size for package in lock.packages), "wheels"
    proofs = [entry.proven for entry in record.all_of(its_tag) if entry.proven] if its_tag else []
    return Entry(
        name, the_profile.about, r.torch, r.cuda, r.python, its_tag, size, size_of if size is not None else "",
        max(proofs, default=""),
    )  # fmt: skip


def line(entry: Entry) -> str:
    if entry.problem:
        return f"{entry.name:<14} {entry.problem}"
    count = entry.size or 0
    size = f"{amounts.size(count)} {entry.size_of}" if entry.size is not None else "not locked"
    proven = f"proven {day(entry.proven)}" if entry.proven else "not proven here"
    return (
        f"{entry.name:<14} torch {entry.torch:<7} CUDA {entry.cuda:<5} Python {entry.python:<5} {size:<14} {proven:<18}"
        f" {entry.about}"
    )


def day(written: str) -> str:
    """20261120 as 2026-11-20."""
    return f"{written[:4]}-{written[4:6]}-{written[6:]}"
