"""What was checked, in which environment, and what came of it; as lines, JSON and JUnit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from imagekit.diagnose import answer

STAGES = ("static", "cpu", "deep", "gpu", "multi-gpu")

ON_GPUS = ("gpu", "multi-gpu")

STATUSES = ("PASS", "FAIL", "ERROR", "SKIP")

TEXTS = ("found", "expected", "because", "on_gpu", "fix", "reason", "said")


@dataclass(frozen=True)
class Check:
    name: str
    stage: str
    status: str
    """PASS | FAIL | SKIP | ERROR"""
    seconds: float = 0.0
    figures: tuple[tuple[str, object], ...] = ()
    found: str = ""
    expected: str = ""
    because: str = ""
    on_gpu: str = ""
    fix: str = ""
    reason: str = ""
    said: str = ""
    """The last that a bad check printed."""
    peak_mb: int = 0
    key: str = ""
    """What the result depends on; a later proof with the same key takes it over."""
    proven: str = ""
    """ISO date of the proof that it was taken over from; empty for one that was made now."""

    @property
    def bad(self) -> bool:
        return self.status in ("FAIL", "ERROR")


@dataclass(frozen=True)
class Report:
    image: str
    """Image id."""
    checks: tuple[Check, ...]
    seconds: float
    problem: str = ""
    """Why the program in the image did not come to its end, if it did not."""
    reference: str = ""
    time: str = ""
    """ISO, UTC."""
    profile: str = ""
    lock: str = ""
    """Digest of the lock, sha256:..."""
    host: str = ""
    """The engine's name for its machine."""
    note: str = ""
    """What else went wrong, without a word on the image."""
    partial: bool = False
    """Whether only some checks were asked for: what passes then is no proof of the image."""
    environment: Mapping[str, object] = field(default_factory=dict)
    """What the program in the image says of where it ran: cpu, gpus, driver, kernel, cores, checks (their digest)."""

    @property
    def verdict(self) -> str:
        """proven, not proven, or passed: the checks that were asked for did, and nobody asked for the others."""
        return ("passed" if self.partial else "proven") if self.proven else "not proven"

    @property
    def proven(self) -> bool:
        """Whether a check passed and none failed. A run in which nothing could run shows nothing."""
        passed = any(check.status == "PASS" for check in self.checks)
        return not self.problem and passed and not any(check.bad for check in self.checks)


def parse(line: str) -> Check:
    """One line of the smoke program's output. Raises ValueError for anything else."""
    raw = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError(f"{line[:100]!r} is not a result")
    known = {key: str(raw.get(key) or "") for key in (*TEXTS, "key", "proven")}
    figures = tuple(sorted((raw.get("figures") or {}).items()))
    if raw["status"] not in STATUSES or raw["stage"] not in STAGES:
        raise ValueError(f"{line[:100]!r} is not a result")
    name, stage, status, seconds = str(raw["check"]), str(raw["stage"]), str(raw["status"]), float(raw["seconds"])
    return Check(name, stage, status, seconds, figures, peak_mb=int(raw.get("peak_mb") or 0), **known)


def from_json(raw: Mapping[str, Any]) -> Report:
    """A report that `as_json` wrote. Raises KeyError, TypeError, ValueError for anything else."""
    texts = {key: str(raw.get(key) or "") for key in ("problem", "reference", "time", "profile", "lock", "host")}
    checks = tuple(parse(json.dumps(row)) for row in raw["checks"])
    where = dict(raw.get("environment") or {})
    partial = bool(raw.get("partial"))
    return Report(str(raw["image"]), checks, float(raw["seconds"]), environment=where, partial=partial, **texts)


def failing(found: Sequence[Report]) -> list[str]:
    """Checks whose newest word is a bad one, a line for each stage and machine. `found`: of one image, newest first.

    What runs on a GPU is good or bad on each kind of machine by itself; anything else is the image's own.
    """
    newest: dict[tuple[str, str, str], bool] = {}
    for report in found:
        gpus = report.environment.get("gpus")
        machine = ", ".join(sorted({str(name) for name in gpus})) if isinstance(gpus, list) else ""
        for check in report.checks:
            if check.status != "SKIP":
                where = f" on {machine}" if check.stage in ON_GPUS else ""
                newest.setdefault((check.stage, where, check.name), check.bad)
    bad: dict[tuple[str, str], list[str]] = {}
    for (stage, where, name), is_bad in sorted(newest.items(), key=lambda row: (STAGES.index(row[0][0]), *row[0][1:])):
        if is_bad:
            bad.setdefault((stage, where), []).append(name)
    whole = next((report for report in found if not report.partial), None)
    ended = [f"the last proof of the whole image came to no end: {whole.problem}"] if whole and whole.problem else []
    return ended + [f"{stage}: {some(names)} did not pass{where}" for (stage, where), names in bad.items()]


def some(names: Sequence[str]) -> str:
    """a, b, c and 4 more"""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def summary(report: Report) -> list[str]:
    """A line per stage, then each failure in full."""
    lines = []
    present = [stage for stage in STAGES if any(check.stage == stage for check in report.checks)]
    width = max(map(len, present), default=0)
    for stage in present:
        checks = [check for check in report.checks if check.stage == stage]
        taken = [check for check in checks if check.status == "PASS" and check.proven]
        count = {
            status: sum(check.status == status for check in checks) for status in ("PASS", "FAIL", "ERROR", "SKIP")
        }
        words = [
            f"{n} {status if status in ('FAIL', 'ERROR') else status.lower()}"
            for status, n in {**count, "PASS": count["PASS"] - len(taken)}.items()
            if n
        ]
        words += [f"{len(taken)} reused (same files, proven {max(c.proven for c in taken)})"] if taken else []
        reasons = sorted({check.reason for check in checks if check.status == "SKIP"})
        took = sum(check.seconds for check in checks)
        if count["SKIP"] == len(checks):
            words = [f"{len(checks)} not run"]
        text = ", ".join(words) + (f": {'; '.join(reasons)}" if reasons else "")
        lines.append(f"{stage:<{width}}  {text:<58} {int(took) // 60}:{int(took) % 60:02}")
    return lines


def failures(report: Report) -> list[str]:
    lines = []
    for check in report.checks:
        if check.bad:
            lines += ["", f"{check.status}  {check.name}: {check.reason or check.because or check.found}"]
            for label, text in (("found", check.found), ("expected", check.expected), ("because", check.because),
                                ("on a GPU", check.on_gpu), ("fix", check.fix),
                                ("known", answer.known((check.reason, check.found, check.because)))):  # fmt: skip
                lines += [f"      {label:<10} {line}" for line in text.splitlines()[:8]]
    if report.problem:
        lines += ["", f"ERROR  {report.problem}"]
    elif not lines and not report.proven:
        reasons = sorted({check.reason for check in report.checks if check.reason})
        why = "; ".join(reasons) or "none of those that were asked for is for this image"
        lines += ["", f"no check could run: {why}"]
    return lines


def as_json(report: Report) -> dict[str, object]:
    checks = [
        {"check": c.name, "stage": c.stage, "status": c.status, "seconds": c.seconds, "figures": dict(c.figures)}
        | {k: v for k in (*TEXTS, "peak_mb", "key", "proven") if (v := getattr(c, k))}
        for c in report.checks
    ]
    return {
        "image": report.image, "reference": report.reference, "profile": report.profile, "lock": report.lock,
        "time": report.time, "host": report.host, "environment": dict(report.environment),
        "proven": report.proven, "partial": report.partial,
        "seconds": round(report.seconds, 1), "problem": report.problem, "checks": checks,
    }  # fmt: skip


def junit(report: Report) -> str:
    """JUnit XML, as Jenkins and GitLab read it."""
    bad = sum(check.status == "FAIL" for check in report.checks)
    errors = sum(check.status == "ERROR" for check in report.checks) + bool(report.problem)
    skipped = sum(check.status == "SKIP" for check in report.checks)
    suite = ElementTree.Element(
        "testsuite", name="imagekit", tests=str(len(report.checks) + bool(report.problem)), failures=str(bad),
        errors=str(errors),
        skipped=str(skipped), time=f"{report.seconds:.1f}",
    )  # fmt: skip
    for check in report.checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"imagekit.{check.stage}", name=check.name, time=f"{check.seconds:.3f}"
        )
        kind = {"FAIL": "failure", "ERROR": "error", "SKIP": "skipped"}.get(check.status)
        if kind:
            text = "\n".join(t for t in (check.found, check.expected, check.because, check.fix) if t)
            message = _xml(check.reason or check.because or check.found)
            ElementTree.SubElement(case, kind, message=message).text = _xml(text)
    if report.problem:
        case = ElementTree.SubElement(suite, "testcase", classname="imagekit", name="program", time="0")
        ElementTree.SubElement(case, "error", message=_xml(report.problem))
    return ElementTree.tostring(suite, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Without characters that XML 1.0 cannot hold."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
