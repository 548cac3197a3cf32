"""How lines look: stderr for people, first the stage; a moving line only on a terminal."""

from __future__ import annotations

import sys
import time


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
                took = int(time.monotonic() - self.started)
                print(
                    f"\r\x1b[K{'build':<8} {text[:88]} {took // 60}:{took % 60:02}", end="", file=sys.stderr, flush=True
                )
            return
        clear = "\r\x1b[K" if self.live else ""
        print(f"{clear}{stage:<8} {text}".rstrip(), file=sys.stderr, flush=True)
