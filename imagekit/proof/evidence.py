"""What was proven, where and when: a file per report, and what a later proof may take over from it."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imagekit import report as reports
from imagekit.report import Report

KEEP = 500
"""Reports kept; the oldest go first."""

LOOK_BACK = 100
"""Reports whose results may be taken over."""


def folder() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "imagekit" / "evidence"


def save(report: Report, where: Path | None = None) -> Path:
    """Written whole or not at all."""
    place = where or folder()
    place.mkdir(parents=True, exist_ok=True)
    stamp = report.time.replace("-", "").replace(":", "")[:15]
    path = place / f"{stamp}-{report.image.removeprefix('sha256:')[:12]}-{secrets.token_hex(3)}.json"
    handle, name = tempfile.mkstemp(dir=place, prefix=".")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(reports.as_json(report), indent=1, default=str) + "\n")
    os.replace(name, path)
    for old in _files(place)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def all_of(where: Path | None = None, limit: int = KEEP) -> Iterator[dict[str, Any]]:
    """Reports, newest first. One that cannot be read is passed over: it is history, not an input."""
    for path in _files(where or folder())[:limit]:
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(row, dict) and isinstance(row.get("checks"), list):
            yield {**row, "file": path.name}


def known() -> dict[str, dict[str, Any]]:
    """Results by key that a proof may take over: those that passed when they were last looked at."""
    found: dict[str, Mapping[str, Any] | None] = {}
    for report in all_of(limit=LOOK_BACK):
        for check in report["checks"]:
            key = check.get("key")
            if key and key not in found:
                passed = check.get("status") == "PASS"
                since = check.get("proven") or str(report.get("time", ""))[:10]
                found[key] = {"proven": since, "figures": check.get("figures") or {}} if passed else None
    return {key: dict(row) for key, row in found.items() if row}


def of(image: str, lock: str, where: Path | None = None) -> list[dict[str, Any]]:
    """The reports of an image by its id, and those of other images of the same lock, newest first."""
    return [row for row in all_of(where) if row.get("image") == image or (lock and row.get("lock") == lock)]


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.json"), reverse=True) if place.is_dir() else []
