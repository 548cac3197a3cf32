"""What a check says: a finding with a status, one sentence, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from imagekit.doctor.host import Host

Status = Literal["OK", "WARN", "FAIL", "SKIP"]


@dataclass(frozen=True)
class Finding:
    name: str
    """The subject in one word: engine, disk, driver."""
    status: Status
    """OK | WARN (works, and will hurt) | FAIL (something cannot work) | SKIP (could not or need not be looked at)."""
    message: str
    """One sentence without a full stop, for people."""
    remedy: str = ""
    """What mends it, a line each; empty for OK and SKIP."""
    figures: Mapping[str, object] = field(default_factory=dict)
    """The same for programs: values of JSON by name."""


Check = Callable[[Host], Iterable[Finding]]
"""Pure: what it knows it has from the host. A check that raises is one finding, and the others still run."""


def lines(finding: Finding) -> list[str]:
    """One line for people, and the remedy indented below it."""
    first = f"{finding.name:<9} {finding.status:<5} {finding.message}"
    return [first, *(f"{'':<16}{line}" for line in finding.remedy.splitlines())]


def as_json(finding: Finding) -> dict[str, object]:
    return asdict(finding)


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version as they are compared: "20.10.24+dfsg1" is (20, 10, 24); () where there is none."""
    parts = text.strip().lstrip("v").split("+")[0].split("-")[0].split(".")
    numbers = []
    for part in parts:
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
