"""profile + wishes + facts -> resolution, or a refusal that names the nearest possible wish."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from imagekit import project
from imagekit.compat import bases, fleet, ops, overlaid, sources, spelling, unknown
from imagekit.compat.choose import Asked, Choice, best, given_up, reasons
from imagekit.compat.facts import Facts, load
from imagekit.compat.nodes import Node, changes
from imagekit.compat.refuse import refusal, refused_by_fact
from imagekit.compat.review import Review, review
from imagekit.compat.rows import Feature
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.family import FAMILY
from imagekit.foundation import Foundation
from imagekit.profile import Profile, Wishes
from imagekit.resolution import Resolution, SourceBuild, Want

Look = Callable[[str], Foundation | None]


def resolve(
    profile: Profile, wishes: Wishes, *, base_default: str = "", base_map: Mapping[str, str] | None = None,
    look: Look = lambda _: None, nodes: tuple[Node, ...] = (), facts: Facts | None = None,
) -> Resolution:  # fmt: skip
    """`look` asks an image what it offers as a base; None where it cannot be had. `nodes`: the site's fleet.

    `facts`: instead of those of imagekit.

    Raises UsageError for what cannot be read, ImpossibleWish for what cannot be had.
    """
    facts = facts or load()
    targets = fleet.targets(profile, nodes, facts)
    base = wishes.base or profile.base or base_default or "distro:bookworm"
    if base.startswith("cuda:"):
        # its suite follows from the CUDA that is chosen without it
        first = _choose(facts, _asked(wishes, ""), _asked(profile, "distro:jammy"), targets)
        base = bases.cuda_image(base, first.variant.cuda, first.release, facts)
    found = look("@".join(filter(None, bases.reference(base, base_map or {})))) if base.startswith("image:") else None
    suite = bases.suite_of(base, found)
    asked = _asked(wishes, suite if wishes.base else "")
    own = profile.base or base_default or "distro:bookworm"
    named = bases.suite_of(own, None) if own.startswith("distro:") else ""
    preferred = _asked(profile, named if wishes.base else suite)
    choice = _choose(facts, asked, preferred, targets)
    features = _features(profile, wishes, facts)
    lines = project.requirements(Path(profile.folder or "."), profile.requirements, choice.system.python)
    from_git = sources.of(profile, lines)
    wants = _wants(profile, wishes, choice, features, lines, from_git)
    builds = _builds([want for want in wants if _name(want) not in from_git], facts, choice.system.suite)
    builds += sources.builds(from_git, facts, choice.system.suite)
    unseen = found is None and base.startswith("image:")
    running = tuple(node for node in nodes if not list(changes([node], choice.release, choice.variant, facts)))
    compiled = ops.ahead(builds, features, facts, choice, found, unseen, targets or (running if nodes else None))
    apt = _apt(profile, choice, features, base)
    checked = _review(facts, choice, apt, wants)
    if checked.refused:
        raise refused_by_fact(facts, choice, asked, checked.refused, _pins(wants), targets)
    toolkit = facts.toolkit(choice.variant.cuda)
    variant = choice.variant
    torch_index = "pypi" if variant.pypi_default else "pytorch"
    placed = [_placed(want, torch_index, variant.name) for want in [*wants, *(need.want() for need in checked.wants)]]
    resolution = Resolution(
        profile=profile.name,
        torch=choice.release.version,
        cuda=variant.cuda,
        variant=variant.name,
        torch_index=torch_index,
        python=choice.system.python,
        os=f"{choice.system.id.capitalize()} {choice.system.version}",
        glibc=choice.system.glibc,
        base=bases.locked(base, choice.system, base_map or {}, found),
        wants=tuple(placed),
        constraints=tuple(need.want() for need in checked.holds),
        replace={canonicalize_name(a): canonicalize_name(b) for a, b in profile.replace.items()},
        wins=tuple(sorted({canonicalize_name(name) for name in profile.wins})),
        builds=compiled.builds,
        sources=sources.asked(from_git),
        apt=apt,
        pip_wheel=choice.system.pip_wheel,
        features=tuple(feature.name for feature in features),
        env=bases.emptied(found)
        | {key: value for feature in features for key, value in feature.env.items()}
        | profile.env,
        labels={**compiled.labels, **profile.labels, **unknown.labels(choice.release, facts)},
        files=profile.files,
        expects=profile.expects.model_dump(exclude_defaults=True),
        gpu_architectures=variant.gpu_architectures or (),
        min_driver=toolkit.compat_driver if toolkit else "",
        cpu_level=max((build.cpu_level for build in builds if build.cpu_level), default="x86-64"),
        differs=_differs(profile, wishes, choice, preferred),
        reasons=reasons(choice, asked, preferred),
        notes=(
            *unknown.notes(choice.release),
            *given_up(choice, asked, preferred, [node.name for node in targets]),
            *fleet.notes(profile, choice, targets, nodes, facts),
            *bases.notes(found, variant.cuda, toolkit),
            *checked.warnings,
            *compiled.notes,
        ),
    )
    return overlaid.onto(resolution, profile)


def _choose(facts: Facts, asked: Asked, preferred: Asked, targets: tuple[Node, ...]) -> Choice:
    def more(choice: Choice) -> tuple[str, ...]:
        return tuple(changes(targets, choice.release, choice.variant, facts))

    choice = best(facts, asked, preferred, more)
    if choice is None:
        raise refusal(facts, asked, preferred, targets, more)
    return choice


def _asked(of: Profile | Wishes, suite: str) -> Asked:
    version, variant = spelling.torch(of.torch) if of.torch else ("", "")
    toolkit = spelling.cuda(of.cuda) if of.cuda else ""
    if variant and toolkit and spelling.cuda(variant) != toolkit:
        raise UsageError(
            f"torch {of.torch} is a build for CUDA {spelling.cuda(variant)}, and CUDA {toolkit} is asked",
            hint="leave one of them out",
        )
    return Asked(
        torch=version, cuda=toolkit or (spelling.cuda(variant) if variant else ""),
        python=spelling.python(of.python) if of.python else "", suite=suite,
    )  # fmt: skip


def _features(profile: Profile, wishes: Wishes, facts: Facts) -> list[Feature]:
    names = [feature.name for feature in facts.features]
    asked = [("features: ", name) for name in profile.features] + [("--feature ", name) for name in wishes.features]
    asked += [(f"overlay {added.name}: features: ", name) for added in profile.overlays for name in added.features]
    strange = []
    for where, name in asked:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            strange.append(
                f"{where}{name}: " + (f"did you mean {near[0]}?" if near else "there are " + ", ".join(names))
            )
    if strange:
        who = "the command line" if set(wishes.features) - set(names) else f"profile {profile.name}"
        raise UsageError(f"{who} asks for unknown features", details=strange)
    wanted = {name for _, name in asked}
    return [feature for feature in facts.features if feature.name in wanted]


def _wants(
    profile: Profile, wishes: Wishes, choice: Choice, features: list[Feature], lines: list[project.Line],
    from_git: sources.Found,
) -> list[Want]:  # fmt: skip
    release = choice.release
    wants = {"torch": Want(requirement=f"torch=={release.version}", why="the torch that was chosen")}
    wants["pip"] = Want(requirement="pip", why="the image contract: others build on this image")
    asked = [(f"feature {feature.name}", line) for feature in features for line in feature.packages]
    asked += [(f"profile {profile.name}", line) for line in profile.packages]
    asked += [(why, name) for name, (_, why) in from_git.items() if not why.startswith("overlay ")]
    overlaid.check(profile, [(line.text, line.where) for line in lines])
    asked += [(f"file {line.where.split(':')[0]}", line.text) for line in lines]
    asked += [(f"overlay {overlay.name}", line) for overlay in profile.overlays for line in overlay.packages]
    asked += [(why, name) for name, (_, why) in from_git.items() if why.startswith("overlay ")]
    asked += [("--with", line) for line in wishes.packages]
    follow = {"torchvision": release.torchvision, "torchaudio": release.torchaudio}
    problems = []
    twice = _twice(wishes.packages)
    if twice:
        raise UsageError("--with asks for one package twice", details=twice)
    for why, line in asked:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise UsageError(
                f"{why}: {line!r} is not a requirement (PEP 508)", hint=str(error).splitlines()[0]
            ) from None
        name = canonicalize_name(requirement.name)
        if requirement.url:
            raise UsageError(f"{why}: {line!r} names a URL", hint="sources: of a profile takes git repositories")
        given = {"torch": release.version, **follow}.get(name)
        allowed = SpecifierSet(str(requirement.specifier))
        if given is None:
            if why.startswith("overlay ") and name in wants:
                line, why = overlaid.both(wants[name].requirement, line), f"{wants[name].why} and {why}"
            wants[name] = Want(requirement=line, why=why)
        elif not any(allowed.contains(v, prereleases=True) for v in (given, f"{given}+{choice.variant.name}")):
            problems.append(f"{why}: {line} is in the way: torch {release.version} goes with {name} {given}")
        elif name != "torch":
            wants[name] = Want(requirement=f"{name}=={given}", why=f"{why}; follows torch {release.version}")
    if problems:
        raise ImpossibleWish("a pinned package does not go with this torch", details=problems)
    wants |= {line.name: wants[line.name].model_copy(update={"hashes": line.hashes}) for line in lines if line.hashes}
    return list(wants.values())


def _builds(wants: list[Want], facts: Facts, suite: str) -> list[SourceBuild]:
    builds = []
    for want in wants:
        recipe = facts.recipe(_name(want), _pin(want))
        if recipe is not None:
            builds.append(
                SourceBuild(
                    package=recipe.package,
                    versions=recipe.versions,
                    requires=recipe.requires,
                    env=dict(recipe.env),
                    apt_build=recipe.apt_build.get(suite, ()),
                    apt_runtime=recipe.apt_runtime.get(suite, ()),
                    cpu_level=recipe.cpu_level,
                    formats=recipe.formats,
                )
            )
    return builds


def _apt(profile: Profile, choice: Choice, features: list[Feature], base: str) -> tuple[str, ...]:
    own = bases.base_packages(choice.system.suite) if base.startswith("image:") else ()
    from_features = [name for feature in features for name in feature.apt_for(choice.system.suite)]
    from_overlays = [name for overlay in profile.overlays for name in overlay.apt]
    return tuple(sorted({*own, *profile.apt, *from_features, *from_overlays}))


def _review(facts: Facts, choice: Choice, apt: tuple[str, ...], wants: list[Want]) -> Review:
    """The facts about what is known before uv resolves: torch, the triton that its metadata pins, and exact pins."""
    release = choice.release
    versions = {_name(want): _pin(want) for want in wants if _pin(want)}
    if release.triton:
        pins = [s.version for s in Requirement(release.triton.split(";")[0]).specifier if s.operator in ("==", "~=")]
        versions |= {"triton": pins[0]} if pins else {}
    about = {"python": choice.system.python, "cuda": choice.variant.cuda, "glibc": choice.system.glibc}
    return review(facts.constraints, versions, about, apt, tuple(versions))


def _twice(lines: tuple[str, ...]) -> list[str]:
    """Wishes for one package that are not the same."""
    seen: dict[str, str] = {}
    for line in lines:
        with contextlib.suppress(InvalidRequirement):  # which is said with the others
            name = canonicalize_name(Requirement(line).name)
            if seen.setdefault(name, line) != line:
                seen[name] = f"{seen[name]} and {line}"
    return [said for said in seen.values() if said not in lines]


def _pins(wants: list[Want]) -> dict[str, str]:
    """Of packages besides torch that somebody asked for in one version."""
    return {_name(want): _pin(want) for want in wants if _pin(want) and _name(want) not in FAMILY}


def _differs(profile: Profile, wishes: Wishes, choice: Choice, preferred: Asked) -> tuple[str, ...]:
    suffixes = []
    if preferred.python and choice.system.python != preferred.python:
        suffixes.append("py" + choice.system.python.replace(".", ""))
    if preferred.suite and choice.system.suite != preferred.suite:
        suffixes.append(choice.system.suite)
    elif wishes.base and not wishes.base.startswith("distro:"):
        suffixes.append("image" + hashlib.sha256(wishes.base.encode()).hexdigest()[:6])
    suffixes += sorted(set(wishes.features) - set(profile.features))
    if wishes.packages:
        names = sorted(canonicalize_name(Requirement(line).name) for line in wishes.packages)
        pinned = any(str(Requirement(line).specifier) for line in wishes.packages)
        short = len(names) <= 2 and not pinned
        digest = hashlib.sha256("\n".join(sorted(wishes.packages)).encode()).hexdigest()[:8]
        suffixes.append("with-" + ("-".join(names) if short else digest))
    return tuple(suffixes)


def _placed(want: Want, torch_index: str, variant: str) -> Want:
    """torch and its followers come from one index. Every build on PyTorch's own says in its version which one it is."""
    if _name(want) not in FAMILY:
        return want
    local = f"+{variant}" if torch_index == "pytorch" and _pin(want) and "+" not in _pin(want) else ""
    return want.model_copy(update={"index": torch_index, "requirement": want.requirement + local})


def _pin(want: Want) -> str:
    """The version of an exact pin; "" where there is a choice."""
    pins = [s.version for s in Requirement(want.requirement).specifier if s.operator == "==" and "*" not in s.version]
    return pins[0] if pins else ""


def _name(want: Want) -> str:
    return canonicalize_name(Requirement(want.requirement).name)
