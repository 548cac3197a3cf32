"""Who is told when something has changed: one POST of JSON, and never an address in a log or a record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import requests

from imagekit.index_session import session
from imagekit.nightly.state import Cell, Night
from imagekit.site import Site

TIMEOUT = 10
"""Seconds for an answer."""


def changes(nights: Sequence[Night], now: Night, part: bool = False) -> list[dict[str, Any]]:
    """Cells that are good or bad now and were not, that are another image, that came or went, against which something
    else is known.

    `nights`: those before, in their order: the first is all news; `part`: whether others were not looked at.
    """
    before: dict[str, Cell] = {}
    for night in nights:
        before |= {cell.tag: cell for cell in night.cells}
    found = []
    for cell in now.cells:
        old = before.get(cell.tag)
        if old is None or _news(old) != _news(cell):
            found.append(_row(cell, old.state if old else ""))
    here = {cell.tag for cell in now.cells}
    gone = [] if part or not nights else [cell for cell in nights[-1].cells if cell.tag not in here]
    return found + [{**_row(old, old.state), "state": "gone"} for old in gone]


def _news(cell: Cell) -> tuple[object, ...]:
    """What is worth a word when it is another one than last night. An image that went somewhere is there the next."""
    where = {to: "there" if what == "moved" else what for to, what in cell.promoted.items()}
    return cell.state, cell.reference, where, cell.counts


def _row(cell: Cell, was: str) -> dict[str, Any]:
    return {
        "tag": cell.tag, "state": cell.state, "was": was, "did": cell.did, "image": cell.reference,
        "reasons": list(cell.reasons), "changes": list(cell.changes), "why": list(cell.why),
        "promoted": cell.promoted, "vulnerabilities": list(cell.counts),
    }  # fmt: skip


def trouble(reference: str) -> str:
    """Why nobody could be told; empty when the variable has an address."""
    name = reference.removeprefix("env:")
    there = os.environ.get(name, "").startswith(("http://", "https://"))
    return "" if there else f"the variable {name} has no address of a webhook"


def send(reference: str, night: Night, rows: list[dict[str, Any]], site: Site) -> str:
    """Why nobody was told; empty when somebody was. `reference`: env:NAME.

    The text key is what chats show of a webhook.
    """
    problem, name = trouble(reference), reference.removeprefix("env:")
    if problem:
        return problem
    address = os.environ[name]
    bad = [row["tag"] for row in rows if row["state"] == "bad"]
    weak = [row["tag"] for row in rows if row["vulnerabilities"]]
    text = f"imagekit nightly: {len(rows)} changed" + (f", bad: {', '.join(bad)}" if bad else "")
    text += f", vulnerabilities that count: {', '.join(weak)}" if weak else ""
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
    return "" if 200 <= answer.status_code < 300 else f"the webhook of {name} answers {answer.status_code}"
