"""Checks of what only an engine can tell: the history of an image, its configuration, the name that it goes by.

They are lines of the static stage, like those from inside. What they find is told without the secret itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from imagekit.report import Check

TAG = re.compile(r"^(?P<torch>\d+\.\d+\.\d+)-cuda(?P<cuda>\d+\.\d+)(-|$)")
"""What a tag of ours begins with (docs/tags.md)."""

SECRETS = {
    "a password in an address": re.compile(r"\w+://[^/\s:@'\"]+:(?P<value>[^/\s@'\"]+)@"),
    "a variable with a secret": re.compile(
        r"\b[A-Za-z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIALS)[A-Za-z0-9_]*=['\"]?"
        r"(?P<value>[^\s'\"$;|&/][^\s'\"$;|&]{5,})",
        re.IGNORECASE,
    ),
    "an authorization header": re.compile(r"Authorization:\s*\w+\s+(?P<value>[^\s'\"$]{8,})", re.IGNORECASE),
    "an access token": re.compile(
        r"\b(?P<value>(?:ghp|gho|ghs|github_pat|glpat|hf|xox[bp]|AKIA)[-_]?[A-Za-z0-9_-]{16,})"
    ),
    "a private key": re.compile(r"(?P<value>-----BEGIN [A-Z ]*PRIVATE KEY-----)"),
}
"""What a secret looks like; `value` is what must not be shown."""

NAMES = ("history", "tag")


def checks(reference: str, image: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    """`image`: docker inspect; `history`: docker history, the first instruction first."""
    started = time.monotonic()
    found = list(secrets(image, history))
    seconds = round(time.monotonic() - started, 2)
    if found:
        yield Check(
            "history", "static", "FAIL", seconds, found="; ".join(found[:5]),
            expected="no secret in the history, the environment or the labels",
            because="whoever can pull the image can read them; a later layer does not take them away",
            fix="RUN --mount=type=secret; build again, and have the secret replaced: it is known now",
        )  # fmt: skip
    else:
        yield Check("history", "static", "PASS", seconds)
    yield from _tag(reference, image)


def secrets(image: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Where there is one and of what kind; the secret itself is masked."""
    for number, entry in enumerate(history, 1):
        yield from (f"instruction {number}: {text}" for text in _in(str(entry.get("CreatedBy") or "")))
    config = image.get("Config") or {}
    for entry in config.get("Env") or ():
        yield from (f"ENV: {text}" for text in _in(str(entry)))
    for name, value in (config.get("Labels") or {}).items():
        yield from (f"LABEL: {text}" for text in _in(f"{name}={value}"))


def _in(text: str) -> Iterator[str]:
    for kind, pattern in SECRETS.items():
        match = pattern.search(text)
        if match:
            start, end = match.span("value")
            before = text[max(0, match.start() - 20) : start]
            yield f"{kind}: ...{before}***" if end - start < len(text) else kind


def _tag(reference: str, image: Mapping[str, Any]) -> Iterator[Check]:
    """A name that is no tag of ours claims nothing."""
    match = TAG.match(reference.rpartition(":")[2]) if ":" in reference and "@" not in reference else None
    labels = (image.get("Config") or {}).get("Labels") or {}
    if not match or "io.imagekit.torch" not in labels:
        return
    told = f"torch {match['torch']}, CUDA {match['cuda']}"
    true = f"torch {labels['io.imagekit.torch']}, CUDA {labels.get('io.imagekit.cuda', '')}"
    if told == true:
        yield Check("tag", "static", "PASS")
    else:
        yield Check(
            "tag", "static", "FAIL", found=f"{reference} says {told}", expected=f"the image says {true}",
            because="somebody gave the tag to another image",
            fix="imagekit build gives every tag to the image that it is true of",
        )  # fmt: skip
