"""Forms that a text may have, for the models that people fill in: profiles, overlays, sites.

Such a text reaches Dockerfiles, shells, URLs and configuration files, where a line break, a quote or a space would be
something else.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import AfterValidator

BASE = r"(distro|image|cuda):[A-Za-z0-9][A-Za-z0-9._:/@-]*"


def matching(pattern: str, what: str, *, empty: bool = False) -> AfterValidator:
    """A text of that form, or else "... is not `what`". `empty`: "" stands for nothing and will do."""

    def check(value: str) -> str:
        if not (empty and not value) and not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"{value!r} is not {what}")
        return value

    return AfterValidator(check)


def one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def in_quotes(value: Any) -> Any:
    """For what YAML would read as a number, before it is a text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'YAML reads {value} as a number, so 3.10 would become 3.1: write it in quotes, "{value}"')
    return value
