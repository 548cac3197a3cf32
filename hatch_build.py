"""Compile the facts and the known errors to JSON for the wheel: reading the YAML takes a hundred times as long."""

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
            for reader, data, name in (
                ("imagekit.compat.facts_load", root / "imagekit/compat/data", "facts.json"),
                ("imagekit.diagnose.load", root / "imagekit/diagnose/data", "errors.json"),
            ):
                text = importlib.import_module(reader).compile_json(data)
                (data / name).write_text(text, encoding="utf-8")
        finally:
            sys.path.remove(str(root))
