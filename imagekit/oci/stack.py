"""Which wheels share a layer, and which layer is above which.

A container's root has at most about 125 layers, so small wheels share some. Who shares with whom is a function of the
names only: a version that changes, or a package that comes, moves no other package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 100
"""Layers of an image, everything included; engines take 125 to 128."""

SHARED = 16
"""Layers of those that share one."""

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


def stacked(wheels: Sequence[Sized], room: int) -> list[tuple[str, ...]]:
    """The wheels of each layer, the lowest first. `room`: layers that there may be. Raises ValueError for less than 17.

    >>> stacked([Sized("torch", 1, 800), Sized("six", 3, 1), Sized("nvidia-nccl-cu12", 0, 90)], 90)
    [('nvidia-nccl-cu12',), ('torch',), ('six',)]
    """
    if len(wheels) <= room:
        alone = set(wheels)
    elif room <= SHARED:
        raise ValueError(f"{room} layers are too few")
    else:
        least = next(size for size in (*_LADDER, 1 << 62) if sum(w.size >= size for w in wheels) <= room - SHARED)
        alone = {wheel for wheel in wheels if wheel.size >= least}
    layers: list[tuple[int, str, tuple[str, ...]]] = [(wheel.group, wheel.name, (wheel.name,)) for wheel in alone]
    shares: dict[int, list[str]] = {}
    for wheel in wheels:
        if wheel not in alone:
            shares.setdefault(share(wheel.name, SHARED), []).append(wheel.name)
    top = max((wheel.group for wheel in wheels), default=0)
    layers += [(top, f"~{number:02}", tuple(sorted(names))) for number, names in shares.items()]
    return [names for _, _, names in sorted(layers)]


def share(name: str, of: int) -> int:
    """Which of some layers a name belongs to, whatever else there is."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % of
