"""How a program in an image ended, whatever ran it."""

from __future__ import annotations

from dataclasses import dataclass

STDOUT, STDERR = 2**25, 2**16
"""Bytes that are kept of what a container prints: the first of its stdout, the last of its stderr."""


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool = False
