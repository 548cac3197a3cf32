"""Entry point inside the image: `/opt/venv/bin/python -B /opt/imagekit/smoke`.

The folder is imported as the package `smoke`, and its parent leaves sys.path again before any check runs: a check must
see the modules that a user's program would see, and nothing of ours beside them.
"""

from __future__ import annotations

import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [os.path.dirname(folder)] + [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]
program = __import__("smoke.program", fromlist=["main"])
del sys.path[0]

if __name__ == "__main__":
    sys.exit(program.main(sys.argv[1:]))
