"""The fleet of a site as nodes: which pools an image must run on, and on which it does."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from imagekit.compat.choose import Choice
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, fits
from imagekit.errors import UsageError
from imagekit.profile import Profile
from imagekit.site.model import Pool


def pools(fleet: Mapping[str, Pool], facts: Facts) -> tuple[Node, ...]:
    """A GPU that the facts do not know gives a node without an architecture, about which nothing is said."""
    found = []
    for name, pool in fleet.items():
        gpu = facts.gpu(pool.gpu)
        found.append(Node(name, gpu.sm if gpu else "", gpu, pool.driver, pool.nodes, pool=True, model=pool.gpu))
    return tuple(found)


def targets(profile: Profile, fleet: tuple[Node, ...]) -> tuple[Node, ...]:
    """The pools that the profile names. Raises UsageError that lists the names which are none; () without a fleet."""
    known = {node.name: node for node in fleet}
    problems = []
    for name in profile.targets if known else ():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            problems.append(f"{profile.places.get('targets', profile.name)}: {name}: {there}")
    if problems:
        raise UsageError(
            "targets: are not pools of the site's fleet", details=problems, hint="imagekit site shows them"
        )
    return tuple(known[name] for name in dict.fromkeys(profile.targets) if name in known)


def notes(profile: Profile, choice: Choice, fleet: tuple[Node, ...], facts: Facts) -> list[str]:
    """On which pools the choice runs, and why not on the others; that nothing compares where there is no fleet."""
    if not fleet:
        names = ", ".join(profile.targets)
        return [f"targets {names} are not checked: the site names no fleet"] if names else []
    running, lines = [], []
    for node in fleet:
        bad = [fit for fit in fits(node, choice.release, choice.variant, facts) if fit.verdict == "no"]
        if bad:
            lines.append(f"does not run on {node.name}: {bad[0].text.removeprefix(f'{node.name}: ')} [{bad[0].fact}]")
        elif not node.sm:
            lines.append(f"{node.name}: the facts do not know the GPU {node.model!r}, so nobody compared")
        else:
            running.append(f"{node.name} ({node.count} node{'s' if node.count > 1 else ''})")
    return [*([f"runs on {', '.join(running)}"] if running else []), *lines]
