"""A known error, and where a text has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One row of `data/*.yaml`."""

    id: str
    title: str
    """One line that names the error in other words than its own."""
    patterns: tuple[str, ...]
    """Regular expressions, searched in one line whatever its case, or across the break between two."""
    cause: str
    check: str
    """A command, or what to look at, that tells whether it is this."""
    fix: str
    docs: str
    """Page and heading of docs/: "image.md#users"."""
    sources: tuple[str, ...]
    """What was read, as addresses."""
    example: str
    """A text of the field, shortened."""
    group: str = ""
    after: str = ""
    """A regular expression that the line, or one of the few before it, must have too; empty = nothing."""
    hides: tuple[str, ...] = ()
    """Ids of more general errors, which this one explains."""
    notice: bool = False
    """Programs print it when all is well, too."""


@dataclass(frozen=True)
class Finding:
    fault: Fault
    line: int
    """Number of the first line that has it, from 1; 0 = in no text, asked for by its id."""
    text: str = ""
    """That line, cleaned and shortened, without passwords."""
    count: int = 0
    """Lines that have it."""
    explains: tuple[Finding, ...] = ()
    """Findings that it hides."""
