"""How lines look: stderr for people, first the stage; a moving line only on a terminal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import Surroundings

if TYPE_CHECKING:
    from rich.status import Status

    from imagekit.publish import Done


_moving: list[Status] = []
"""The one moving line, if there is one now."""


def settle() -> None:
    """End the moving line, so that what follows starts on a line of its own."""
    while _moving:
        _moving.pop().stop()


def plain(text: str) -> str:
    """Without what would speak to the terminal: names and messages may be those of a registry."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


class Lines:
    """`say(stage, text)`. Stage "~" is progress: one moving line on a terminal, nothing in a log file."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty() and not quiet
        self.started = time.monotonic()

    def __call__(self, stage: str, text: str) -> None:
        if self.quiet:
            return
        if stage == "~":
            if self.live:
                self._move(text)
            return
        settle()
        print(f"{stage:<8} {plain(text)}".rstrip(), file=sys.stderr, flush=True)

    def _move(self, text: str) -> None:
        from rich.console import Console
        from rich.markup import escape

        took = int(time.monotonic() - self.started)
        line = escape(f"{text[:90]}  {took // 60}:{took % 60:02}")
        if not _moving:
            _moving.append(Console(stderr=True).status(line, spinner="line"))
            _moving[0].start()
        _moving[0].update(line)


def names(done: Done, as_json: bool) -> None:
    """What became of an image in a registry, on stdout."""
    import json
    from dataclasses import asdict

    told = {"reference": done.reference, "tags": [asdict(outcome) for outcome in done.outcomes]}
    print(json.dumps(told, indent=1) if as_json else done.reference)


def write(path: str | None, text: str) -> None:
    """A file that an option names; nothing without one. Raises Surroundings when it cannot be written."""
    if path:
        try:
            Path(path).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise Surroundings(f"{path} cannot be written: {error.strerror}") from None
