"""What all tests share: the stand-ins are importable, and no test depends on the settings of whoever runs it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
