from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from imagekit.errors import Error, UsageError

if TYPE_CHECKING:
    from imagekit.diagnose.find import Seen


@click.command("diagnose")
@click.argument("text", nargs=-1, metavar="[TEXT]")
@click.option("--log", metavar="FILE", help="Read this log; - is stdin.")
@click.option("--list", "as_list", is_flag=True, help="Every error that is known.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(text: tuple[str, ...], log: str | None, as_list: bool, as_json: bool) -> None:
    """What an error means, how to be sure of it, and what mends it. TEXT is what the error says, the id of a known
    error, or a log file; without it a log is read from stdin. Ends with 1 when nothing in it is known."""
    from imagekit.diagnose import answer

    if as_list and (text or log):
        raise UsageError("--list takes no text and no log")
    if as_list:
        print(json.dumps(answer.all_as_json(), indent=1) if as_json else "\n".join(answer.table()))
        return
    seen = _seen(" ".join(text), log)
    if as_json:
        print(json.dumps(answer.seen_as_json(seen), indent=1))
    elif seen.findings:
        print("\n".join(answer.lines(seen.findings)))
    if not seen.findings:
        raise _nothing(seen)


def _seen(given: str, log: str | None) -> Seen:
    from imagekit.diagnose import find, text

    if given and log:
        raise UsageError("a text and --log: give one of them")
    by_id = find.by_id(given)
    if by_id:
        return find.Seen((by_id,), 0, "")
    if given and not _is_file(given):
        return find.search(given.splitlines())
    source = given or log or "-"
    if given:
        print(f"log      {source}", file=sys.stderr)
    if source == "-" and sys.stdin.isatty():
        raise UsageError(
            "there is no text to diagnose",
            hint='imagekit diagnose "what the error says", imagekit diagnose --log FILE, or a log on stdin',
        )
    seen = find.search(line for stream in _opened(source) for line in text.lines(stream))
    if not seen.lines:
        empty = "stdin" if source == "-" else source
        raise UsageError(f"{empty} is empty", hint="docker logs NAME 2>&1 | imagekit diagnose")
    return seen


def _is_file(given: str) -> bool:
    try:
        return "\n" not in given and Path(given).is_file()
    except OSError:  # a text that is too long for a name
        return False


def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(source).open("rb") as stream:
            yield stream
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None


def _nothing(seen: Seen) -> Error:
    told = [f"the last line that looks like an error, {seen.last_line}: {seen.last}"] if seen.last else []
    return Error(
        f"nothing in {'this line' if seen.lines == 1 else f'these {seen.lines:,} lines'} is known",
        details=told, hint="imagekit diagnose --list shows what is known",
    )  # fmt: skip
