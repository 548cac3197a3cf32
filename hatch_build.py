"""Compile the facts to JSON for the wheel: reading the YAML takes a hundred times as long."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FactsHook(BuildHookInterface):  # type: ignore[misc]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        sys.path.insert(0, str(root))
        try:
            module = importlib.import_module("imagekit.compat.facts_load")
            data = root / "imagekit/compat/data"
            (data / "facts.json").write_text(module.compile_json(data), encoding="utf-8")
        finally:
            sys.path.remove(str(root))
