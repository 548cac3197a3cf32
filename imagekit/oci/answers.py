"""What a registry's answers say is wrong, and which of them another attempt may change."""

from __future__ import annotations

import re

import requests

from imagekit.errors import Surroundings

AGAIN = {408, 429, 500, 502, 503, 504, 522}
"""Replies after which the same is asked again."""

ATTEMPTS = 6


class Refused(Surroundings):
    """An answer that no further attempt would change."""

    def __init__(self, message: str, status: int, codes: tuple[str, ...], hint: str = "", after: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.after = after
        """Retry-After of the reply."""
        self.codes = codes
        """Codes of the errors in the reply, as BLOB_UNKNOWN."""


def stored_length(answer: requests.Response) -> int:
    """The bytes of what an answer sends; 0 where it does not say, or packs them on the way."""
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() and "Content-Encoding" not in answer.headers else 0


def refusal(host: str, method: str, answer: requests.Response) -> Refused:
    """An answer of 400 and above, in words."""
    code = answer.status_code
    codes, messages = _errors(answer)
    what = f"{host} refuses {method} ({code}{', ' + codes[0] if codes else ''})"
    hint = ""
    if code in (401, 403):
        hint = f"docker login {host}; may this account push there?"
    elif code in AGAIN:
        what = f"{host} fails ({code}), also after {ATTEMPTS} attempts"
    elif code == 507 or "space" in messages:
        hint = "its disk is full"
    return Refused(
        what + (f": {messages}" if messages else ""), code, codes, hint, answer.headers.get("Retry-After", "")
    )


def _errors(answer: requests.Response) -> tuple[tuple[str, ...], str]:
    """(codes, the first message) of a reply in the specification's form, shortened."""
    try:
        rows = answer.json()["errors"] if len(answer.content) < 2**20 else []
        codes = tuple(str(row.get("code", ""))[:60] for row in rows)
        return codes, re.sub(r"[^\x20-\x7e]", "?", str(rows[0].get("message", ""))[:200]) if rows else ""
    except (ValueError, KeyError, TypeError, AttributeError, requests.RequestException):
        return (), ""


def tls(host: str, error: Exception) -> Surroundings | None:
    """What is wrong with TLS for good; a connection that broke in its handshake is none of it."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text or "doesn't match" in text:
        return Surroundings(
            f"the certificate of {host} is not trusted",
            hint="tls.ca of the site names a CA bundle; imagekit site shows what applies",
        )
    if "WRONG_VERSION_NUMBER" in text or "wrong version number" in text:
        return Surroundings(f"{host} does not speak TLS", hint="HTTP is for registries on this machine only")
    return None
