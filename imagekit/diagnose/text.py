"""Lines out of what people hand over: bounded, decoded, without colours and prefixes, without passwords.

The passwords are not those of `imagekit.site.hide`: loading that package takes longer than the whole answer.
"""

from __future__ import annotations

import codecs
import functools
import itertools
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
    for block in _utf8(stream):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield _last(line).decode(errors="replace")
        rest = _last(rest) + (b"\r" if rest.endswith(b"\r") else b"")
    if rest:
        yield _last(rest).decode(errors="replace")


def _utf8(stream: BinaryIO) -> Iterator[bytes]:
    """The blocks of a stream; of UTF-16 with a byte order mark, which PowerShell's > writes, as UTF-8."""
    first = stream.read(_BLOCK)
    blocks = itertools.chain([first], iter(functools.partial(stream.read, _BLOCK), b""))
    start = first[2:1024]
    if first[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or 4 * start.count(0) < len(start):
        return (block for block in blocks if block)
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    return (decoder.decode(block).encode(errors="replace") for block in blocks)


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


# Neither begins with a repetition, which takes quadratic time on a long line.
_LOGIN = re.compile(r"(://)[^\s\"'<>]{1,200}@")
_SECRET = re.compile(
    r"""((?:authorization:?\s*(?:basic|bearer)|(?:password|passwd|secret|token|api[_-]?key)[\w-]{0,40}["']?\s*[=:]|--(?:password|token|secret)\s)\s*["']?)[^\s"']+""",
    re.IGNORECASE,
)


def quoted(line: str, about: re.Pattern[str] | None = None) -> str:
    """A cleaned line to show: printable, shortened to where it has `about`, with *** for passwords in addresses and
    after names."""
    line = _CONTROL.sub("?", line)
    line = _SECRET.sub(r"\1***", _LOGIN.sub(r"\1***@", line))
    if len(line) <= QUOTED:
        return line
    found = about.search(line) if about else None
    start = max(0, found.start() - QUOTED // 4) if found and found.end() > QUOTED - 4 else 0
    short = line[start : start + QUOTED - 8]
    return ("... " if start else "") + short + (" ..." if start + len(short) < len(line) else "")


_ERROR = ("error", "exception", "fatal", "failed", "failure", "cannot", "could not", "denied")


def last_error(lines: list[str], words: str) -> int | None:
    """Index of the last line that looks like an error; None = none does. `words`: all of them, in lower case."""
    said = [word for word in _ERROR if word in words]
    found = (index for index in range(len(lines) - 1, -1, -1) if any(word in lines[index].lower() for word in said))
    return next(found, None) if said else None
