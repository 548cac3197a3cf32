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
    "a password in an address": re.compile(r"://[^/\s:@'\"]{0,200}:[^/\s@'\"$]{1,200}@"),
    "a token in an address": re.compile(r"://[A-Za-z0-9_-]{20,200}(?::[^/\s@'\"]{0,100})?@"),
    "a password for chpasswd": re.compile(r"\w{1,64}:[^\s:'\"$]{1,200}['\"]?\s{0,9}\|\s{0,9}chpasswd"),
    "a password of an option": re.compile(
        r"\s(?:-u|--user)[ =]['\"]?[^\s:'\"$]{1,64}:[^\s'\"$]{4,}|--password[ =]['\"]?[^\s'\"$-][^\s'\"$]{3,}"
    ),
    "a login of netrc": re.compile(r"machine\s+\S{1,200}\s+login\s+\S{1,200}\s+password\s+[^\s'\"$]", re.IGNORECASE),
    "an authorization header": re.compile(r"Authorization:\s{0,9}\w{1,20}\s{1,9}[^\s'\"$]{8,}", re.IGNORECASE),
    "an access token": re.compile(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|sk-[\w-]{32,}"
        r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}|AIza[\w-]{35}|xox[abprs]-[\w-]{20,}|AKIA[0-9A-Z]{16}"
        r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)"
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
}
"""What a secret looks like. Every repetition has an end, so that no history takes long."""

VARIABLE = re.compile(
    r"(?<![A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]{0,60})=\\?['\"]?(?=([^\s'\"$;|&\\]{6,200}))",
)
"""A name and its value; the value is looked at once more by itself, as the note of `note=API_KEY=...`."""
SECRET_NAME = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|_PASS|API_?KEY|ACCESS_KEY|CREDENTIALS)$", re.IGNORECASE)
"""How the name of a variable with a secret ends: MAX_TOKENS and TOKENIZER are none."""

NAMES = ("history", "tag")
LAYERS = "layers"
"""The check of each layer (`proof.layers`), in the stage `deep`."""


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
        yield from (f"instruction {number}: {text}" for text in secrets_in(str(entry.get("CreatedBy") or "")))
    config = image.get("Config") or {}
    for entry in config.get("Env") or ():
        yield from (f"ENV: {text}" for text in secrets_in(str(entry)))
    for name, value in (config.get("Labels") or {}).items():
        yield from (f"LABEL: {text}" for text in secrets_in(f"{name}={value}"))


def secrets_in(text: str, *, code: bool = False) -> Iterator[str]:
    """What is found, without a letter of the text around it: the secret may stand on either side.

    `code`: a program's, in which `token=...` is no secret.
    """
    yield from (kind for kind, pattern in SECRETS.items() if pattern.search(text))
    if code:
        return
    for name, value in VARIABLE.findall(text):
        if SECRET_NAME.search(name) and not value.isdigit() and not value.startswith("/"):
            yield f"a value for {name}"


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
