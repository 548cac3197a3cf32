"""Who is told when something has changed: one POST of JSON, and never an address in a log or a record."""

from __future__ import annotations

import os
from typing import Any

import requests

from imagekit.index import session
from imagekit.nightly.state import Cell, Night
from imagekit.site import Site

TIMEOUT = 10
"""Seconds for an answer."""


def changes(last: Night | None, now: Night) -> list[dict[str, Any]]:
    """Cells that are good or bad now and were not, that are another image, that came or went. The first night is all
    news."""
    before = {cell.tag: cell for cell in last.cells} if last else {}
    found = []
    for cell in now.cells:
        old = before.pop(cell.tag, None)
        if old is None or _news(old) != _news(cell):
            found.append(_row(cell, old.state if old else ""))
    return found + [{**_row(old, old.state), "state": "gone"} for old in before.values()]


def _news(cell: Cell) -> tuple[object, ...]:
    """What is worth a word when it is another one than last night. An image that went somewhere is there the next."""
    where = {to: "there" if what == "moved" else what for to, what in cell.promoted.items()}
    return cell.state, cell.reference, where


def _row(cell: Cell, was: str) -> dict[str, Any]:
    return {
        "tag": cell.tag, "state": cell.state, "was": was, "did": cell.did, "image": cell.reference,
        "reasons": list(cell.reasons), "changes": list(cell.changes), "why": list(cell.why),
        "promoted": cell.promoted,
    }  # fmt: skip


def send(reference: str, night: Night, rows: list[dict[str, Any]], site: Site) -> str:
    """Why nobody was told; empty when somebody was. `reference`: env:NAME.

    The text key is what chats show of a webhook.
    """
    name = reference.removeprefix("env:")
    address = os.environ.get(name, "")
    if not address.startswith(("http://", "https://")):
        return f"the variable {name} has no address of a webhook"
    bad = [row["tag"] for row in rows if row["state"] == "bad"]
    text = f"imagekit nightly: {len(rows)} changed" + (f", bad: {', '.join(bad)}" if bad else "")
    told = {"text": text, "night": night.name, "cells": rows}
    proxy = site.proxy_for(address)
    try:
        with session() as own:
            answer = own.post(
                address, json=told, timeout=TIMEOUT, verify=site.ca or True, allow_redirects=False,
                proxies={"http": proxy, "https": proxy} if proxy else None,
            )  # fmt: skip
    except (requests.RequestException, ValueError) as error:
        return f"the webhook of {name} does not answer ({type(error).__name__})"
    return "" if answer.ok else f"the webhook of {name} answers {answer.status_code}"
