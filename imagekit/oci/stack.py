"""Which wheels share a layer, and which layer is above which.

A container's root has at most about 125 layers, so small wheels share some. Who shares with whom is a function of the
names only: a version that changes, or a package that comes, moves no other package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from imagekit.errors import ImpossibleWish

MOST = 100
"""Layers of an image, everything included; engines take 125 to 128."""

SHARED = 16
"""Layers of those that share one; fewer where there is no room for more."""

OWN = 2
"""Layers above the packages: the image's own files, and what the steps of overlays change."""

LEAST = 2
"""Layers of packages that do: one of their files, one of their bytecode."""

_LADDER = tuple(round(10_000 * 10 ** (step / 4)) for step in range(25))
"""Sizes, 10 kB to 10 GB, from which a wheel has a layer of its own. Steps, not ranks: then a package that comes or goes
nearly never changes the layers of the others."""


@dataclass(frozen=True)
class Sized:
    name: str
    group: int
    """Lower ones change less often, and are below."""
    size: int
    """Bytes."""


def above(base: int) -> int:
    """Layers of packages that there may be on a base of `base` layers. Raises ImpossibleWish for less than `LEAST`."""
    room = MOST - base - OWN
    if room < LEAST:
        raise ImpossibleWish(
            f"the base has {base} layers: an image has {MOST} at most, and {OWN + LEAST} of them are imagekit's",
            hint="squash the base into fewer layers, or choose another one",
        )
    return room


def stacked(wheels: Sequence[Sized], room: int) -> list[tuple[str, ...]]:
    """The wheels of each layer, the lowest first. `room`: layers that there may be. Raises ValueError for none.

    >>> stacked([Sized("torch", 1, 800), Sized("six", 3, 1), Sized("nvidia-nccl-cu12", 0, 90)], 90)
    [('nvidia-nccl-cu12',), ('torch',), ('six',)]
    """
    shared = halved(SHARED, room - 1)
    if len(wheels) <= room:
        alone = set(wheels)
    elif room < 1:
        raise ValueError(f"{room} layers are too few")
    else:
        least = next(size for size in (*_LADDER, 1 << 62) if sum(w.size >= size for w in wheels) <= room - shared)
        alone = {wheel for wheel in wheels if wheel.size >= least}
    layers: list[tuple[int, str, tuple[str, ...]]] = [(wheel.group, wheel.name, (wheel.name,)) for wheel in alone]
    shares: dict[int, list[str]] = {}
    for wheel in wheels:
        if wheel not in alone:
            shares.setdefault(share(wheel.name, shared), []).append(wheel.name)
    top = max((wheel.group for wheel in wheels), default=0)
    layers += [(top, f"~{number:02}", tuple(sorted(names))) for number, names in shares.items()]
    return [names for _, _, names in sorted(layers)]


def halved(many: int, most: int) -> int:
    """A power of two, halved until it is `most`, or 1. Halves: who shared a layer still does."""
    return many if many <= max(most, 1) else halved(many // 2, most)


def share(name: str, of: int) -> int:
    """Which of some layers a name belongs to, whatever else there is."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % of
