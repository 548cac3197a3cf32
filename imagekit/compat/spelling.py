"""Versions as people write them: 2.9, v2.9, 2.4.1+cu121; 12.1, cu121, 121."""

from __future__ import annotations

import re

from imagekit.errors import UsageError


def torch(text: str) -> tuple[str, str]:
    """(version, variant or ""): "v2.4.1+cu121" is ("2.4.1", "cu121"). The version may be a minor, as "2.9"."""
    match = re.fullmatch(r"[vV]?(\d+\.\d+(?:\.\d+)?)(?:\+(cu\d{3}))?", text.strip(), re.ASCII)
    if not match:
        raise UsageError(f"{text!r} is not a torch version", hint="write it as 2.9, v2.9 or 2.9.1")
    return match[1], match[2] or ""


def cuda(text: str) -> str:
    """ "cu121", "121", "12.1" and "12.1.1" are "12.1"."""
    plain = re.fullmatch(r"(\d{1,2})\.(\d)(?:\.\d+)?", text.strip(), re.ASCII)
    if plain:
        return f"{plain[1]}.{plain[2]}"
    short = re.fullmatch(r"(?:cu|CU|cuda)?(\d{2})(\d)", text.strip(), re.ASCII)
    if short:
        return f"{short[1]}.{short[2]}"
    raise UsageError(f"{text!r} is not a CUDA version", hint="write it as 12.1, cu121 or 121")


def python(text: str) -> str:
    """ "3.11", "3.11.9", "py311", "cp311" and "311" are "3.11"."""
    match = re.fullmatch(r"(?:py|cp|python)?3\.?(\d{1,2})(?:\.\d+)?", text.strip(), re.ASCII)
    if not match:
        raise UsageError(f"{text!r} is not a Python version", hint="write it as 3.11")
    return f"3.{match[1]}"
