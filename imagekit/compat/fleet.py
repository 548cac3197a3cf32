"""What an image must run on, as nodes: pools of the site's fleet, and what a profile names itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from imagekit.compat import inventory, nodes
from imagekit.compat.choose import Choice
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node, fits
from imagekit.errors import UsageError
from imagekit.profile import Profile
from imagekit.profile_fields import Machine
from imagekit.site.model import Pool


def pools(fleet: Mapping[str, Pool], facts: Facts) -> tuple[Node, ...]:
    """A GPU that the facts do not know gives a node without an architecture, about which nothing is said."""
    found = []
    for name, pool in fleet.items():
        gpu = facts.gpu(pool.gpu)
        found.append(Node(name, gpu.sm if gpu else "", gpu, pool.driver, pool.nodes, pool=True, model=pool.gpu))
    return tuple(found)


def targets(profile: Profile, fleet: tuple[Node, ...], facts: Facts) -> tuple[Node, ...]:
    """What the profile names. Names of pools say nothing without a fleet.

    Raises UsageError that lists everything which is no pool, no GPU or no file of nodes.
    """
    known = {node.name: node for node in fleet}
    found: list[Node] = []
    problems = []
    for entry in profile.targets:
        try:
            found += _nodes(entry, known, Path(profile.folder or "."), facts)
        except UsageError as error:
            said = f"{error.message}; {error.hint}" if error.hint else error.message
            problems.append(f"{profile.places.get('targets', profile.name)}: {said}")
    if problems:
        raise UsageError("targets: cannot be read", details=problems, hint="imagekit site shows the pools of the fleet")
    return tuple(_told_apart(list(dict.fromkeys(found)), known))


def _told_apart(found: list[Node], known: Mapping[str, Node]) -> Iterator[Node]:
    """Each under a name of its own: a file may have one GPU with two drivers, and call it as a pool is called."""
    taken: set[str] = set(known)
    for node in found:
        if node == known.get(node.name):
            yield node
            continue
        with_driver = f"{node.name} (driver {node.driver})" if node.driver and "driver" not in node.name else node.name
        alone = sum(other.name == node.name for other in found) == 1
        names = [node.name] if alone else []
        names += [with_driver, *(f"{with_driver} #{number}" for number in range(2, len(found) + 2))]
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield replace(node, name=name)


def _nodes(entry: str | Machine, known: Mapping[str, Node], folder: Path, facts: Facts) -> Iterator[Node]:
    if isinstance(entry, Machine) and entry.nodes:
        yield from inventory.read(folder / entry.nodes, facts)
    elif isinstance(entry, Machine):
        sm, row = nodes.gpu(entry.gpu, facts)
        model = row.name if row else sm
        name = f"{model} (driver {entry.driver})" if entry.driver else model
        yield Node(name, sm, row, entry.driver, pool=True, model=model)
    elif entry in known:
        yield known[entry]
    elif known:
        near = difflib.get_close_matches(entry, known, 1)
        raise UsageError(f"{entry}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"))


def notes(
    profile: Profile, choice: Choice, targets: tuple[Node, ...], fleet: tuple[Node, ...], facts: Facts
) -> list[str]:
    """On which pools and targets the choice runs, and why not on the others; what nobody compared."""
    running, lines = [], []
    for node in (*fleet, *(target for target in targets if target not in fleet)):
        bad = [fit for fit in fits(node, choice.release, choice.variant, facts) if fit.verdict == "no"]
        if bad:
            lines.append(f"does not run on {node.name}: {bad[0].text.removeprefix(f'{node.name}: ')} [{bad[0].fact}]")
        elif not node.sm:
            lines.append(f"{node.name}: the facts do not know the GPU {node.model!r}, so nobody compared")
        else:
            counted = f" ({node.count} node{'s' if node.count > 1 else ''})" if node in fleet or node.count > 1 else ""
            running.append(node.name + counted)
    unchecked = [name for name in profile.targets if isinstance(name, str)] if not fleet else []
    if unchecked:
        lines.append(f"targets {', '.join(unchecked)} are not checked: the site names no fleet")
    return [*([f"runs on {', '.join(running)}"] if running else []), *lines]
