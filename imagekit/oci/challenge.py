"""What a 401 asks for (RFC 9110, 11.6.1), and how long a reply asks to wait (10.2.3)."""

from __future__ import annotations

import random
import re
import time
from email.utils import parsedate_to_datetime

LONGEST = 60.0
"""Seconds that are waited at most before it is asked again, whatever Retry-After says."""


def chosen(challenges: str) -> tuple[str, str]:
    """(scheme, parameters) of the challenge to answer: Bearer where there are several (RFC 9110, 11.6.1)."""
    parts = re.split(r"(?:^|,)\s*(Bearer|Basic)(?=\s|$|,)", challenges, flags=re.IGNORECASE)
    found = {kind.lower(): rest for kind, rest in zip(reversed(parts[1::2]), reversed(parts[2::2]), strict=True)}
    return next(((kind, found[kind]) for kind in ("bearer", "basic") if kind in found), ("", ""))


def fields(text: str) -> dict[str, str]:
    """The parameters of a challenge; of two of one name the first."""
    found = re.findall(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', text)
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for name, quoted, bare in reversed(found)}


def pause(tried: int, after: str) -> float:
    """Seconds before the next attempt: what Retry-After says, in seconds or as a date, else longer each time."""
    told = 0.0
    if re.fullmatch(r"\d{1,6}", after.strip()):
        told = float(after)
    elif after:
        try:
            told = parsedate_to_datetime(after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            told = 0.0
    own = min(2.0 ** (tried - 1), 16.0) * random.uniform(0.8, 1.2)
    return min(max(told, 0.0) or own, LONGEST)
