"""The names of an image: bare, profile, immutable. Versions come from the built image, never from the recipe alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagekit.errors import BuildFailed, UsageError
from imagekit.lock.model import Lock
from imagekit.resolution import Resolution
from imagekit.site import Tags as Settings

KEY = 7
"""Hex digits of the plan key in an immutable tag."""

IMMUTABLE = re.compile(r"(?P<stem>.+)-(?P<day>\d{8})-[0-9a-f]{7}(\.(?P<number>\d+))?")
"""A name that never moves: the profile tag, the day, the key, and a number where the same plan gave other bytes."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*")


@dataclass(frozen=True)
class Found:
    """What the image itself says: torch/version.py of its site-packages, and its interpreter."""

    torch: str
    cuda: str
    python: str


@dataclass(frozen=True)
class Names:
    profile: str
    immutable: str
    bare: str = ""
    """Only where this profile owns it."""
    failed: str = ""

    @property
    def moving(self) -> tuple[str, ...]:
        return tuple(name for name in (self.bare, self.profile) if name)


def of_profile(resolution: Resolution, settings: Settings) -> str:
    """The profile tag: what an image is called by what it is, whatever its bytes. Raises UsageError as `names`."""
    return names(resolution, settings, "0" * 64, "0" * 8).profile


def names(r: Resolution, settings: Settings, key: str, day: str) -> Names:
    """`day`: yyyymmdd of the first build with this key. Raises UsageError for a name no registry takes."""
    return _names(r.profile, r.torch, r.cuda, (*r.differs, *r.overlays), settings, key, day)


def of_labels(name: str, labels: Mapping[str, str], settings: Settings, key: str, day: str) -> Names:
    """Of an image by what it tells (contract.told); else as `names`. Raises UsageError for one that tells nothing."""
    if not {"profile", "torch"} <= labels.keys():
        raise UsageError(f"{name} was not built by imagekit", hint="docker push and skopeo copy move any image")
    apart = (*labels.get("suffix", "").split(), *labels.get("overlays", "").split())
    return _names(labels["profile"], labels["torch"], labels.get("cuda", ""), apart, settings, key, day)


def _names(
    profile: str, torch: str, cuda: str, apart: Sequence[str], settings: Settings, key: str, day: str
) -> Names:  # fmt: skip
    """`apart`: what the image has besides the profile: axes that differ from it, overlays."""
    repository = settings.repository.format(profile=profile)
    stack = f"{torch}-cuda{cuda}"
    suffix = "-".join([profile, *apart])
    tags = {
        "bare": stack if settings.bare == profile and not apart else "",
        "profile": f"{stack}-{suffix}",
        "immutable": f"{stack}-{suffix}-{day}-{key[:KEY]}",
        "failed": f"{stack}-{suffix}-failed",
    }
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"{repository!r} is not a repository name", hint="tags.repository: lower case, digits, . _ - /"
        )
    wrong = [tag for tag in tags.values() if tag and not _TAG.fullmatch(tag)]
    if wrong:
        raise UsageError("these tags are not ones that a registry takes (128 characters, no +)", details=wrong)
    return Names(**{kind: f"{repository}:{tag}" if tag else "" for kind, tag in tags.items()})


def check(lock: Lock, found: Found) -> None:
    """A mismatch with the recipe fails the build: a tag must not lie."""
    r = lock.resolution
    rows = [
        ("torch", found.torch.split("+")[0], r.torch),
        ("CUDA", found.cuda, r.cuda),
        ("Python", found.python, r.python),
    ]
    wrong = [f"{what}: the image has {have}, the lock says {want}" for what, have, want in rows if have != want]
    if wrong:
        raise BuildFailed("the image is not what its tag would say", details=wrong, hint="no tag was moved")
