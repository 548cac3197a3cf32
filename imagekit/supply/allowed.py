"""Which known vulnerabilities a team accepts: each with a reason, and until when.

allow:
- id: CVE-2023-45853
  packages: [zlib1g]
  reason: minizip is not in the package
  until: 2027-03-31
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from imagekit import strict_yaml
from imagekit.errors import UsageError
from imagekit.forms import matching


def _day(value: object) -> object:
    """YAML has days of its own; a moment is none."""
    return value.isoformat() if type(value) is date else value


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Allowed(_Model):
    id: Annotated[str, matching(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9.:-]+", "an identifier, as CVE-2024-12345")]
    packages: tuple[Annotated[str, matching(r"\S+", "a package")], ...] = ()
    """Only there; everywhere, where none is named."""
    reason: Annotated[str, matching(r"(?s).*\S.*", "a sentence")]
    until: Annotated[date, BeforeValidator(_day)]
    """The last day."""

    def covers(self, identifier: str, package: str) -> bool:
        return self.id.casefold() == identifier.casefold() and (not self.packages or package in self.packages)


class _File(_Model):
    allow: tuple[Allowed, ...]


def read(path: Path) -> tuple[Allowed, ...]:
    """Raises UsageError with every problem of the file, each with its line."""
    document = strict_yaml.read(path, "an allowlist", "an allowlist needs `allow:`")
    try:
        found = _File.model_validate(document.raw).allow
    except ValidationError as error:
        problems = [strict_yaml.told(document, item, _keys) for item in error.errors()]
        raise UsageError(f"{path.name} cannot be used", details=problems,
                         hint="each entry has id, reason, until and, maybe, packages") from None  # fmt: skip
    twice = sorted({f"{one.id} {', '.join(one.packages)}".strip() for one in found if found.count(one) > 1})
    if twice:
        raise UsageError(f"{path.name} cannot be used", details=[f"{line} is there twice" for line in twice])
    return found


def _keys(place: strict_yaml.Place) -> list[str]:
    return list((Allowed if place else _File).model_fields)
