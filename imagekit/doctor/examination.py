"""All checks on one host, and what they come to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from imagekit.doctor import nvidia
from imagekit.doctor.check import Check, Finding, as_json, lines
from imagekit.doctor.checks import CHECKS
from imagekit.doctor.host import Host

LIMIT = 150.0
"""Seconds for one check: a file system that is gone stops a process that looks at it, and nothing can stop that."""

BUILDING = ("engine", "disk", "storage", "index")
ON_A_GPU = ("driver", "gpu", "toolkit", "fabric")


@dataclass(frozen=True)
class Verdict:
    """Whether this machine can do what imagekit is for; empty for yes, else why not."""

    build: str
    gpu: str

    def __str__(self) -> str:
        return f"can build here: {_answer(self.build)}; can run on a GPU here: {_answer(self.gpu)}"


def examine(
    host: Host, checks: Mapping[str, Check] = CHECKS, limit: float = LIMIT, say: Callable[[str], None] = lambda _: None
) -> Iterator[Finding]:
    """Every finding, in order. No check can keep the others from running: not by an error, not by never ending."""
    for name, check in checks.items():
        say(f"looking at {name}")
        yield from _guarded(name, check, host, limit)


def _guarded(name: str, check: Check, host: Host, limit: float) -> list[Finding]:
    found: list[Finding] = []

    def work() -> None:
        try:
            found.extend(check(host))
        except Exception as error:  # whatever it is, the other checks go on
            found.append(Finding(name, "FAIL", f"could not be looked at: {type(error).__name__}: {error}", _REPORT))

    thread = threading.Thread(target=work, daemon=True)  # one that hangs must not keep imagekit from ending
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        return [*found, Finding(name, "FAIL", f"could not be looked at: no end after {limit:.0f} s", _STUCK)]
    return found


_REPORT = "this is an error of imagekit: please report it with this line"
_STUCK = "something here does not answer: a file system that is gone (df hangs too), an engine, or a driver"


def verdict(findings: list[Finding]) -> Verdict:
    def first(names: tuple[str, ...]) -> str:
        bad = [finding for finding in findings if finding.name in names and finding.status == "FAIL"]
        return _short(bad[0].message) if bad else ""

    seen = any(finding.name == "gpu" and finding.status in ("OK", "WARN") for finding in findings)
    absent = [finding for finding in findings if finding.name in ("driver", "gpu") and finding.status == "SKIP"]
    nothing = "" if seen else _short(absent[0].message) if absent else nvidia.NOT_HERE
    return Verdict(first(BUILDING), first(ON_A_GPU) or nothing)


def answer(findings: list[Finding]) -> list[str]:
    """For people: a line per finding with its remedy, the verdict last."""
    return [*(line for finding in findings for line in lines(finding)), str(verdict(findings))]


def document(findings: list[Finding]) -> dict[str, object]:
    """For programs."""
    found = verdict(findings)
    return {
        "findings": [as_json(finding) for finding in findings],
        "verdict": {
            "build": not found.build, "why_no_build": found.build, "gpu": not found.gpu, "why_no_gpu": found.gpu,
        },
    }  # fmt: skip


def failed(findings: list[Finding]) -> bool:
    return any(finding.status == "FAIL" for finding in findings)


def _answer(reason: str) -> str:
    return f"no, {reason}" if reason else "yes"


def _short(message: str) -> str:
    return message.partition(";")[0].partition(", and ")[0].partition(' ("')[0]
