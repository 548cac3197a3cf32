"""What an engine said of an image in a night: put beside the image in the registry, so that no night forgets it.

An image that is to be proven in an engine or measured there goes nowhere until that is done and good.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone

from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.registry import Repository

KIND = "application/vnd.imagekit.night.v1+json"

TIME = "org.opencontainers.image.created"


@dataclass(frozen=True)
class Verdict:
    measured: bool = False
    """Whether benchmarks were run to their end."""
    slower: tuple[str, ...] = ()
    """Figures that are worse than they may be."""
    figures: dict[str, float] = field(default_factory=dict)
    """Name -> median."""


def attach(there: Repository, digest: str, verdict: Verdict) -> None:
    """Raises Surroundings, Refused."""
    row = {"measured": verdict.measured, "slower": verdict.slower, "figures": verdict.figures}
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    referrers.attach(there, digest, KIND, json.dumps(row, sort_keys=True).encode(), {TIME: now})


def of(there: Repository, digest: str) -> Verdict | None:
    """The newest that can be read; None where there is none."""
    for one in sorted(referrers.of(there, digest, KIND), key=lambda one: one.annotations.get(TIME, ""), reverse=True):
        try:
            row = json.loads(referrers.content(there, one))
            figures = {str(name): float(value) for name, value in row["figures"].items()}
            return Verdict(bool(row["measured"]), tuple(str(line) for line in row["slower"]), figures)
        except Refused as error:
            if error.status != 404:
                raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return None
