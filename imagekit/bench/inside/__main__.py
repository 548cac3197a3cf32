"""Entry point: `/opt/venv/bin/python -B /bench`, wherever this folder is mounted.

The folder is imported as a package, and its parent leaves sys.path again before anything is measured: a benchmark must
see the modules that a user's program would see, and nothing of ours beside them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

folder = Path(__file__).resolve().parent
sys.path[:] = [str(folder.parent)] + [entry for entry in sys.path if Path(entry).resolve() != folder]
program = import_module(f"{folder.name}.program")
del sys.path[0]

if __name__ == "__main__":
    sys.exit(program.main(sys.argv[1:]))
