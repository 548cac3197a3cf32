"""What goes with an image into a registry besides its proof: what it was made from, for whoever makes the next one.

A machine that has never built a profile knows from it whether there is anything to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from imagekit.lock.model import Lock, Package
from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.referrers import Paper
from imagekit.oci.registry import Repository
from imagekit.proof import attached
from imagekit.record import Record

LOCK = "/opt/imagekit/lock.json"
"""Where an image has its lock."""

KIND = "application/vnd.imagekit.record.v1+json"


@dataclass(frozen=True)
class MadeFrom:
    record: Record
    lock: Lock | None
    """None where whoever published the image had only its record."""


def made_from(record: Record, lock: Lock | None) -> Paper:
    """The same for the same image on every day and every machine: no day of a first build, none of a proof."""
    row: dict[str, Any] = {"record": record.model_copy(update={"proven": "", "created": ""}).model_dump(mode="json")}
    row |= {"lock": lock.model_dump(mode="json", exclude_defaults=True)} if lock else {}
    return Paper(KIND, json.dumps(row, sort_keys=True).encode(), {"io.imagekit.key": record.key})


def of(there: Repository, name: str) -> MadeFrom | None:
    """What an image of a registry was made from; None where nobody says it. Raises UsageError where there is no image.

    Anybody who may push can attach something: what is about another image is passed over, and so is a lock that is not
    the one of the record.
    """
    digest, config = attached.names_of(there, name)
    for one in reversed(referrers.of(there, digest, KIND)):
        try:
            found = read(json.loads(referrers.content(there, one)))
        except Refused as error:
            if error.status != 404:
                raise
            continue
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if found.record.image in (digest, config):
            return found
    return None


def read(row: Any) -> MadeFrom:
    """Raises ValueError, KeyError, TypeError, AttributeError for what is no record."""
    record = Record.model_validate(row["record"])
    return MadeFrom(record, _lock(row.get("lock"), record))


def lock_in(content: bytes, label: str) -> Lock | None:
    """The lock that an image carries under LOCK; None where it is not the one of its label."""
    try:
        raw = json.loads(content)
        rows = [{key: row[key] for key in Package.model_fields if key in row} for row in raw["packages"]]
        lock = Lock(**{key: raw[key] for key in Lock.model_fields if key in raw} | {"packages": rows})
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return lock if f"sha256:{lock.digest}" == label else None


def _lock(row: Mapping[str, Any] | None, record: Record) -> Lock | None:
    try:
        lock = Lock(**row) if row else None
    except (ValidationError, TypeError):  # of another imagekit
        return None
    return lock if lock and lock.digest == record.lock else None
