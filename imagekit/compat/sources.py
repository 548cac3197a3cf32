"""Git sources of a profile, its requirements files and its overlays: what is asked, and how each is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit.compat.facts import Facts
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.git_source import CHOSEN, GitSource
from imagekit.profile import Profile
from imagekit.project import Line
from imagekit.resolution import GitSource as Asked
from imagekit.resolution import SourceBuild

FLAGS = "-O2 -g0 -fwrapv -DNDEBUG"
"""Python's own, but for -g: symbols for a debugger hold the folder of the build, which has another name each time.

setuptools takes CFLAGS instead of Python's flags, not besides them: -g0 alone would switch optimisation off.
"""

ENV = {"CFLAGS": FLAGS, "CXXFLAGS": FLAGS}

Found = dict[str, tuple[GitSource, str]]
"""Package -> the entry, and the profile, file or overlay that has it."""


def of(profile: Profile, lines: Iterable[Line]) -> Found:
    """Raises UsageError, or ImpossibleWish where an overlay would change what the profile asks for."""
    found: Found = {canonicalize_name(n): (entry, f"profile {profile.name}") for n, entry in profile.sources.items()}
    packages = {_name(line): profile.places.get(line, profile.name) for line in profile.packages}
    problems = []
    for line in lines:
        if not line.git:
            packages[line.name] = line.where
            continue
        entry = GitSource(git=line.git, ref=line.ref)
        own = found.get(line.name)
        if line.name in CHOSEN:
            problems.append(f"{line.where}: {line.name} is chosen by imagekit and comes from an index")
        elif own and (own[0].git, own[0].ref) != (entry.git, entry.ref):
            place = profile.places.get(f"sources.{line.name}", own[1])
            problems.append(f"{line.where}: {line.shown}: {place} has {own[0].git} at {own[0].ref}")
        elif not own:
            found[line.name] = (entry, f"file {line.where.split(':')[0]}")
            packages.pop(line.name, None)
    if problems:
        raise UsageError("the requirements hold what imagekit does not take", details=problems)
    return _overlaid(profile, found, packages)


def _overlaid(profile: Profile, found: Found, packages: Mapping[str, str]) -> Found:
    """With the sources of overlays, which add some and say of no package of the profile where it is from."""
    found = dict(found)
    problems = []
    for overlay in profile.overlays:
        for key, entry in overlay.sources.items():
            name, where = canonicalize_name(key), overlay.places.get(f"sources.{key}", overlay.path)
            other = found.setdefault(name, (entry, f"overlay {overlay.name}"))
            if other[0] != entry:
                place = profile.places.get(f"sources.{name}", other[1])
                problems.append(f"{where}: {name} is in the way of {place}: {other[0].git} at {other[0].ref}")
            elif name in packages:
                problems.append(f"{where}: {name} is in the way of {packages[name]}: {name} from an index")
    if problems:
        raise ImpossibleWish(
            "an overlay adds to a profile and does not change its sources", details=problems,
            hint="change the profile, or leave the source out of the overlay",
        )  # fmt: skip
    return found


def asked(found: Found) -> tuple[Asked, ...]:
    return tuple(
        Asked(
            package=name, git=entry.git, ref=entry.ref, version=entry.version, why=why,
            requires=None if entry.requires is None else tuple(entry.requires),
            build_requires=tuple(entry.build_requires),
        )
        for name, (entry, why) in found.items()
    )  # fmt: skip


def builds(found: Found, facts: Facts, suite: str) -> list[SourceBuild]:
    """Where the facts have a recipe for the package, its environment and distribution packages count here too."""
    rows = []
    for name, (entry, _) in found.items():
        recipe = facts.recipe(name, entry.version)
        requires = tuple(entry.requires or ())
        row = SourceBuild(package=name, requires=requires, env=ENV, apt_build=tuple(entry.apt_build))
        if recipe:
            row = row.model_copy(update={
                "env": {**ENV, **recipe.env}, "apt_runtime": recipe.apt_runtime.get(suite, ()),
                "apt_build": tuple(sorted({*entry.apt_build, *recipe.apt_build.get(suite, ())})),
                "cpu_level": recipe.cpu_level, "formats": recipe.formats,
            })  # fmt: skip
        rows.append(row)
    return rows


def _name(line: str) -> str:
    return canonicalize_name(Requirement(line).name)
