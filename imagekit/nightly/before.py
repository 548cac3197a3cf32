"""What a registry has under the name of a cell: the state that a night starts from, whichever machine it runs on."""

from __future__ import annotations

from dataclasses import dataclass

from imagekit import papers, remote
from imagekit.errors import UsageError
from imagekit.nightly import verdict
from imagekit.nightly.verdict import Verdict
from imagekit.oci import reference as references
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.papers import MadeFrom
from imagekit.proof import attached, evidence
from imagekit.report import Report
from imagekit.site import Site


@dataclass(frozen=True)
class Before:
    place: Reference
    """The repository."""
    tag: str
    digest: str = ""
    """Of the manifest that the tag leads to; empty where there is none."""
    made: MadeFrom | None = None
    reports: tuple[Report, ...] = ()
    """What was proven of it, newest first, as the registry has it and this machine."""
    verdict: Verdict | None = None
    """Of an engine, where one has said something."""
    lacks: str = ""
    """Why what is there is no image of imagekit's, if it is none."""

    @property
    def reference(self) -> str:
        return f"{self.place}@{self.digest}" if self.digest else ""


def place_of(name: str, site: Site) -> Reference:
    """Where images of a name (REPOSITORY:TAG) are pushed. Raises UsageError where nobody says it."""
    if not site.settings.registry.push:
        raise UsageError("nobody says where images go", hint="[registry] push of imagekit.toml")
    return references.parse(f"{site.settings.registry.push}/{name.rpartition(':')[0]}")


def before(name: str, site: Site) -> Before:
    """`name`: the profile tag, REPOSITORY:TAG. Raises UsageError, Surroundings."""
    return at(place_of(name, site), name.rpartition(":")[2], site)


def at(place: Reference, tag: str, site: Site) -> Before:
    """What is under a name of a repository. Raises UsageError, Surroundings."""
    there = remote.repository(place, site)
    digest = there.digest_of(tag)
    if not digest:
        return Before(place, tag)
    try:
        return Before(place, tag, digest, papers.of(there, digest), reports(there, digest), verdict.of(there, digest))
    except UsageError as error:
        return Before(place, tag, digest, lacks=error.message)


def reports(there: Repository, digest: str) -> tuple[Report, ...]:
    """Raises UsageError where there is no image."""
    found = [*evidence.of(*attached.names_of(there, digest)), *attached.all_of(there, digest)]
    return tuple(sorted((one.report for one in found), key=lambda report: report.time, reverse=True))
