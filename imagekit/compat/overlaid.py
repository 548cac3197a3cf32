"""profile + overlays: an overlay may add to what a profile asks for, and may not choose another version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagekit import trust
from imagekit.compat.facts import load
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.overlay import Overlay
from imagekit.profile import Profile
from imagekit.resolution import AptSource, Resolution, Step

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTING = {"SSL_CERT_FILE": BUNDLE, "REQUESTS_CA_BUNDLE": BUNDLE}
"""requests and httpx carry certificates of their own (certifi) and see the system's only where these are set."""


def check(profile: Profile, others: Iterable[tuple[str, str]] = ()) -> None:
    """`others`: more of what the profile asks for, requirement and place. Raises ImpossibleWish naming both places."""
    facts = load()
    words = {system.suite for system in facts.systems} | {feature.name for feature in facts.features}
    for overlay in profile.overlays:
        if overlay.name in words:
            raise UsageError(
                f"{overlay.path}: a tag that ends with {overlay.name} says something else; name it otherwise"
            )
    given: dict[str, list[tuple[str, str]]] = {}
    rows = [(line, profile.places.get(line, profile.name)) for line in profile.packages]
    if profile.torch:
        rows.append((f"torch=={profile.torch.split('+')[0].removeprefix('v')}.*", profile.places.get("torch", "")))
    for line, where in (*rows, *others):
        given.setdefault(_name(line), []).append((line, where))
    problems = []
    for overlay in profile.overlays:
        for number, line in enumerate(overlay.packages):
            where = overlay.place("packages", number)
            for theirs, place in given.get(_name(line), []):
                if not _together(theirs, line):
                    problems.append(f"{where}: {line} is in the way of {place}: {theirs.removesuffix('.*')}")
            given.setdefault(_name(line), []).append((line, where))
    if problems:
        raise ImpossibleWish(
            "an overlay adds to a profile and does not change its versions", details=problems,
            hint="change the profile, or leave the version out of the overlay",
        )  # fmt: skip


def check_lock(profile: Profile, locked: Mapping[str, str], path: str) -> None:
    """The same for versions that the profile's own lock has pinned."""
    pins = {name: [(f"{name}=={version}", path)] for name, version in locked.items()}
    problems = []
    for overlay in profile.overlays:
        for number, line in enumerate(overlay.packages):
            for theirs, place in pins.get(_name(line), []):
                if _exact(line) and not _together(theirs, line):
                    problems.append(f"{overlay.place('packages', number)}: {line} is in the way of {place}: {theirs}")
        for name in map(canonicalize_name, overlay.sources):
            own = {canonicalize_name(source) for source in profile.sources}
            problems += [
                f"{overlay.path}: sources: {name} is in the way of {place}: {theirs} from an index"
                for theirs, place in pins.get(name, []) if name not in own
            ]  # fmt: skip
    if problems:
        raise ImpossibleWish(
            "an overlay adds to a profile and does not change what its lock has pinned", details=problems,
            hint="pin it in the profile, or leave the version out of the overlay",
        )  # fmt: skip


def both(first: str, second: str) -> str:
    """One requirement that asks for what two ask for."""
    a, b = Requirement(first), Requirement(second)
    if str(a.marker) != str(b.marker):
        return second
    a.specifier &= b.specifier
    a.extras |= b.extras
    return str(a)


def onto(resolution: Resolution, profile: Profile) -> Resolution:
    """What overlays add besides packages, distribution packages and features."""
    checks = [f"{owner}: {source}" for owner, sources in _checks(profile) for source in sources]
    if not profile.overlays:
        return resolution.model_copy(update={"checks": tuple(checks)})
    roots = {
        name: trust.fingerprint(pem) for overlay in profile.overlays for name, pem in overlay.certificates().items()
    }
    env = dict(resolution.env) | (TRUSTING if roots else {})
    labels, files = dict(resolution.labels), dict(resolution.files)
    for overlay in profile.overlays:
        env |= overlay.env
        labels |= overlay.labels
        files |= {f"{overlay.name}: {source}": target for source, target in overlay.files.items()}
    return resolution.model_copy(update={
        "overlays": tuple(overlay.name for overlay in profile.overlays),
        "apt_sources": tuple(_source(overlay, number) for overlay in profile.overlays
                             for number in range(len(overlay.apt_sources))),
        "trust": roots, "env": env, "labels": labels, "files": files, "checks": tuple(checks),
        "starts": tuple(f"/opt/imagekit/overlays/{o.name}/start" for o in profile.overlays if o.start),
        "steps": tuple(Step(overlay=o.name, number=number, line=line) for o in profile.overlays
                       for number, line in enumerate(o.steps, 1)),
    })  # fmt: skip


def _checks(profile: Profile) -> list[tuple[str, list[str]]]:
    return [(profile.name, profile.checks), *((overlay.name, overlay.checks) for overlay in profile.overlays)]


def _source(overlay: Overlay, number: int) -> AptSource:
    entry = overlay.apt_sources[number]
    name, content = overlay.key(entry)
    return AptSource(
        name=entry.name, uri=entry.uri, suites=tuple(entry.suites), components=tuple(entry.components), key=name,
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def _exact(line: str) -> str:
    """The version of an exact pin."""
    pins = [s.version for s in Requirement(line).specifier if s.operator in ("==", "===") and "*" not in s.version]
    return pins[0] if pins else ""


def _together(theirs: str, line: str) -> bool:
    """Whether one version can satisfy both, as far as exact pins tell."""
    for one, other in ((line, theirs), (theirs, line)):
        version = _exact(one)
        if version and not Requirement(other).specifier.contains(version.split("+")[0], prereleases=True):
            return False
    return True


def _name(line: str) -> str:
    return canonicalize_name(Requirement(line).name)
