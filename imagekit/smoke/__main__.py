"""Entry point inside the image: `/opt/venv/bin/python -B /opt/imagekit/smoke`.

The folder is imported as the package `smoke`, and its parent leaves sys.path again before any check runs: a check must
see the modules that a user's program would see, and nothing of ours beside them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if sys.version_info < (3, 9):  # an image of others may have any
    print("imagekit's programs need Python 3.9 or later; this is", sys.version.split()[0], file=sys.stderr)
    sys.exit(2)

folder = Path(__file__).resolve().parent
sys.path[:] = [str(folder.parent)] + [entry for entry in sys.path if Path(entry).resolve() != folder]
program = import_module(f"{folder.name}.program")
del sys.path[0]

if __name__ == "__main__":
    sys.exit(program.main(sys.argv[1:]))
