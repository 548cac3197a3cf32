"""Every way imagekit can fail, with its exit code.

    Error                     1
    |-- UsageError            2   the command line or a profile is wrong
    |-- ImpossibleWish        3   no version satisfies what was asked
    |-- Surroundings          4   engine, index, registry or disk
    |-- NotProven             5   the image was built and failed its proof
    |-- BuildFailed           6   the build itself failed
    `-- Interrupted         130   Ctrl-C or a signal

An expected refusal is data (`compat.Finding`) until the pipeline turns it into one of these. A class is not made for
each message: the message, its hint and its exit code are what a user meets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


def without_logins(text: str) -> str:
    """A text that quotes what somebody wrote, without the users and passwords of its addresses."""
    return re.sub(r"(://)[^/\s'\"]+@", r"\1***@", text)


class Error(Exception):
    """A failure with a message, an optional hint, and an exit code."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        """More lines, one problem each; printed indented below the message."""

    def __str__(self) -> str:
        lines = [self.message, *(f"  {detail}".rstrip() for detail in self.details)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(Error):
    exit_code = 2


class ImpossibleWish(Error):
    exit_code = 3


class Surroundings(Error):
    exit_code = 4


class NotProven(Error):
    exit_code = 5


class BuildFailed(Error):
    exit_code = 6


class Interrupted(Error):
    exit_code = 130
