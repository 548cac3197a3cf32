"""`imagekit` and `python -m imagekit`."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType


def main() -> None:
    # a start-up makes objects by the ten thousand and frees none: collecting in between is a twentieth of its time
    gc.set_threshold(50_000, 20, 20)
    from imagekit.cli import run

    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run())


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that whatever was started is stopped and removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
