"""Files that travel with imagekit: templates, profiles and their locks, the program that runs inside images."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent


def _folder(name: str) -> Path:
    inside = _PACKAGE / "_files" / name  # an installed wheel has them inside the package
    return inside if inside.is_dir() else _CHECKOUT / name


def installed() -> bool:
    """Whether this is an installed package, whose files are not the user's to change, and no checkout."""
    return (_PACKAGE / "_files").is_dir()


def templates() -> Path:
    return _folder("templates")


def profiles() -> Path:
    return _folder("profiles")


def smoke() -> Path:
    return _PACKAGE / "smoke"


def compose() -> Path:
    return _PACKAGE / "compose"
