"""Lines out of what people hand over: bounded, decoded, without colours and prefixes, without passwords.

The passwords are not those of `imagekit.site.hide`: loading that package takes longer than the whole answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

LIMIT = 16_384
"""Characters of a line that are looked at. Docker cuts a container's lines there, too."""
QUOTED = 160
"""Characters of a line that is shown."""
_BLOCK = 1 << 16


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a stream of any size, each cut at LIMIT. What is no UTF-8 becomes a replacement character.

    Of a line that wrote over itself with carriage returns, as progress bars do, the last state.
    """
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield _last(line).decode(errors="replace")
        rest = _last(rest)
    if rest:
        yield rest.decode(errors="replace")


def _last(line: bytes) -> bytes:
    return line.rstrip(b"\r").rpartition(b"\r")[2][:LIMIT]


_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_PREFIX = re.compile(
    rf"""(?: \#\d+\ (?:\d+\.\d+\ )?   # BuildKit
        | \[?{_TIME}\]?:?\            # a time
        | \d+\.\d+\                   # BuildKit's summary of a failed step
        | E\ {{2,}}                   # pytest
        | \[\w*rank\d+\]:\            # torchrun
        | [\w.-]+\ +\|\               # docker compose
        | [\s|>×│╰╭├─▶❱]+             # frames of pip, uv and rich
    )""",
    re.VERBOSE,
)


def clean(line: str) -> str:
    """The line without colours, and without what docker, pytest and their like write before it."""
    if "\x1b" in line:
        line = _ESCAPE.sub("", line)
    while found := _PREFIX.match(line):
        line = line[found.end() :]
    return line.rstrip()


_LOGIN = re.compile(r"(\b[\w+.-]+://)[^/\s]*@")
_SECRET = re.compile(
    r"""((?:authorization:?\s*(?:basic|bearer)|[\w-]*(?:password|passwd|secret|token|api[_-]?key)["']?\s*[=:])\s*["']?)[^\s"']+""",
    re.IGNORECASE,
)


def quoted(line: str) -> str:
    """A cleaned line to show: one line, printable, shortened; passwords in addresses and after names are ***."""
    line = _CONTROL.sub("?", line)
    line = _SECRET.sub(r"\1***", _LOGIN.sub(r"\1***@", line))
    return line if len(line) <= QUOTED else line[: QUOTED - 4] + " ..."


_ERROR = re.compile(r"\b(?:\w*(?:error|exception)|fatal|failed|failure|cannot|could not|denied)\b", re.IGNORECASE)


def looks_like_an_error(line: str) -> bool:
    return bool(_ERROR.search(line))
