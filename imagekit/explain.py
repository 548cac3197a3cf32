"""Why an image is what it is: every version, who asked for it, and the rule and the fact behind it, as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit.compat import rules
from imagekit.compat.choose import Choice
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node
from imagekit.compat.rules import Finding, Stack
from imagekit.family import FAMILY
from imagekit.lock.model import Lock, Package
from imagekit.resolution import Reason, Resolution, Want


@dataclass(frozen=True)
class Branch:
    text: str
    because: str = ""
    fact: str = ""
    """The row of the facts that says so: torch/2.4.1/cu121."""
    below: tuple[Branch, ...] = ()


def tree(resolution: Resolution, lock: Lock | None, facts: Facts, nodes: tuple[Node, ...] = ()) -> Branch:
    """`lock`: the one that answers the resolution, if there is one; packages that nobody named are known from it only.

    `nodes`: the site's fleet, which is then judged too.
    """
    r = resolution
    stack = _stack(r, lock, facts, nodes)
    findings = rules.findings(stack) if stack else ()
    about = f"{r.profile}: torch {r.torch} + CUDA {r.cuda} ({r.variant}), Python {r.python}, {r.os}"
    chosen = [_reason(reason, findings) for reason in r.reasons]
    base = f"base {r.base.name}"
    chosen.append(Branch(base, "made from distribution packages" if r.base.kind == "distro" else "an image"))
    branches = [*chosen, *_packages(r, lock, findings), *_features(r, facts), *_apt(r)]
    said = tuple(Branch(note) for note in r.notes)
    branches += [Branch("what you should know", below=said)] if said else []
    return Branch(about, below=tuple(branches))


_RULES = {"torch": ("wheel",), "cuda": ("driver", "gpu", "toolkit"), "python": ("python", "system", "lifecycle")}
"""Subject of a reason -> the rules whose findings belong to it."""


def _reason(reason: Reason, findings: tuple[Finding, ...]) -> Branch:
    below = tuple(_finding(f) for f in findings if f.rule in _RULES.get(reason.subject, ()))
    return Branch(f"{reason.subject} {reason.value}", reason.because, reason.fact, below)


def _finding(finding: Finding) -> Branch:
    return Branch(finding.text, "" if finding.verdict in ("yes", "note") else finding.verdict, finding.fact)


def _stack(r: Resolution, lock: Lock | None, facts: Facts, nodes: tuple[Node, ...]) -> Stack | None:
    release, system = facts.release(r.torch), facts.suite("".join(r.os.split()).lower())
    variant = release.variant(r.variant) if release else None
    if release is None or variant is None or system is None:
        return None
    locked = {package.name: package.version for package in lock.packages} if lock else {}
    versions = {name: version for name, version in locked.items() if name != "torch" and name not in r.replace}
    return Stack(Choice(release, variant, system), facts, versions, nodes)


def _packages(r: Resolution, lock: Lock | None, findings: tuple[Finding, ...]) -> Iterator[Branch]:
    wants = {_name(want): want for want in r.wants}
    held = {_name(want): want for want in (lock.hidden if lock else ())}
    notes = tuple(_finding(finding) for finding in findings if finding.rule in ("pairing", "libraries", "conflicts"))
    if notes:
        yield Branch("rules about these packages", below=notes)
    if lock is None:
        rows = tuple(Branch(want.requirement, want.why) for want in r.wants)
        yield Branch(f"{_count(len(rows), 'package')} asked for; the others are known once it is locked", below=rows)
        return
    asked, others = [], []
    for package in lock.packages:
        want, hidden = wants.get(package.name), held.get(package.name)
        name = f"{package.name} {package.version}"
        if want:
            line = want.requirement.replace(" ", "")
            asked.append(Branch(name, want.why if line == package.name else f"{want.why}: {want.requirement}"))
        elif hidden:
            asked.append(Branch(name, "the facts add it: " + hidden.requirement, hidden.why.removeprefix("fact ")))
        else:
            others.append(Branch(name, _why(package, r)))
    yield Branch(f"{_count(len(asked), 'package')} that were asked for", below=tuple(asked))
    yield Branch(f"{_count(len(others), 'package')} that those need", below=tuple(others))


def _name(want: Want) -> str:
    return canonicalize_name(Requirement(want.requirement).name)


def _why(package: Package, r: Resolution) -> str:
    if package.kind == "standin":
        return f"stands in: {r.replace.get(package.name, 'another package')} is installed in its place"
    first = [name for name in package.needed_by if name in FAMILY] or list(package.needed_by)
    more = len(package.needed_by) - 1
    return f"needed by {first[0]}" + (f" and {more} more" if more else "") if first else "needed"


def _features(r: Resolution, facts: Facts) -> Iterator[Branch]:
    rows = [feature for feature in facts.features if feature.name in r.features]
    below = tuple(Branch(f.name, f.about, f"features/{f.name}") for f in rows)
    if below:
        yield Branch(_count(len(below), "feature"), below=below)


def _apt(r: Resolution) -> Iterator[Branch]:
    if r.apt:
        yield Branch(_count(len(r.apt), "distribution package"), " ".join(r.apt))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def lines(branch: Branch) -> list[str]:
    """The tree in ASCII; the reason behind each line, the fact in square brackets."""
    found = [_line(branch)]
    for number, below in enumerate(branch.below):
        last = number == len(branch.below) - 1
        first, *rest = lines(below)
        found.append(f"{'`-' if last else '|-'} {first}")
        found += [f"{'  ' if last else '| '} {line}" for line in rest]
    return found


def _line(branch: Branch) -> str:
    fact = f"   [{branch.fact}]" if branch.fact else ""
    return f"{branch.text}{f'   {branch.because}' if branch.because else ''}{fact}"


def as_json(branch: Branch) -> dict[str, Any]:
    return asdict(branch)
