"""A torch that the facts do not have: what is said where one is asked for, and of an image that has one."""

from __future__ import annotations

from packaging.version import Version

from imagekit.compat.facts import Facts
from imagekit.compat.rows import FROM_INDEX, Release

LABEL = "io.imagekit.unknown"

WAY_OUT = "imagekit compat refresh asks the indexes for it; --allow-unknown takes it as its index has it"


def newer(facts: Facts, torch: str) -> bool:
    """Whether a torch is newer than all that the facts know: it may be out by now."""
    return bool(torch) and Version(torch) > Version(facts.releases[-1].version)


def labels(release: Release, facts: Facts) -> dict[str, str]:
    """Loud, and for good: whoever looks at the image sees that facts did not choose its torch."""
    if FROM_INDEX not in release.sources:
        return {}
    return {LABEL: f"torch {release.version} is not in the facts of {facts.collected['torch']}, and was taken as it is"}


def notes(release: Release) -> tuple[str, ...]:
    if FROM_INDEX not in release.sources:
        return ()
    return (
        f"UNKNOWN: torch {release.version} is not in the facts. Versions are those that its index names; for which "
        f"GPUs it is compiled and what does not go with it is not known. The image says so ({LABEL})",
    )
