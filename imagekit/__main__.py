"""`imagekit` and `python -m imagekit`."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType


def main() -> None:
    # a start-up makes objects by the hundred thousand and frees none: collecting in between is a tenth of its time
    gc.set_threshold(200_000, 20, 20)
    from imagekit.cli import execute

    signal.signal(signal.SIGTERM, _terminate)
    code = execute()
    # and looking through all of them once more at the end, to free what the process gives back anyway, is a seventh
    gc.freeze()
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that whatever was started is stopped and removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
