"""The changes of a refresh as people and as programs read them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from imagekit.errors import without_logins
from imagekit.refresh.compare import Change
from imagekit.refresh.data_file import FILE


@dataclass(frozen=True)
class Refreshed:
    """What a refresh came to."""

    changes: tuple[Change, ...]
    before: str
    after: str
    """The text of torch.yaml, now and with what is new in it; empty where there is none."""
    builds: int
    """How many builds of torch the indexes list."""

    @property
    def diff(self) -> list[str]:
        """Unified; empty where the indexes have nothing new."""
        lines = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(*lines, f"a/{FILE}", f"b/{FILE}", lineterm=""))


def lines(changes: Iterable[Change]) -> list[str]:
    """A line each. What strangers wrote is in them: nothing for a terminal to obey, and no logins."""
    said = (f"{change.kind:<8} {change.where:<20} {change.text}" for change in changes)
    return [without_logins("".join(c if c.isprintable() else "?" for c in line)) for line in said]


def summary(found: Refreshed, indexes: tuple[str, ...], written: bool) -> str:
    """One line; for an installed imagekit what its user can do."""
    new = any(change.kind in ("new", "more") for change in found.changes)
    if not new:
        done = f"nothing is new for {FILE}"
    elif not found.before:
        done = "an installed imagekit keeps its facts: a newer one may have this, --allow-unknown builds it now"
    else:
        done = f"{'written' if written else 'nothing was written'} to {FILE}"
    return f"{found.builds} builds of torch on {' and '.join(indexes)}; {done}"


def as_json(found: Refreshed, written: bool) -> dict[str, Any]:
    return {
        "builds": found.builds,
        "changes": [{key: asdict(one)[key] for key in ("kind", "where", "text")} for one in found.changes],
        "diff": found.diff,
        "written": written,
    }
