"""Proving an image of a registry on a node of a cluster, and saying so in the registry."""

from __future__ import annotations

from dataclasses import replace

from imagekit import publish, remote
from imagekit.cluster import Cluster
from imagekit.errors import UsageError
from imagekit.locking import Say
from imagekit.oci import reference as references
from imagekit.proof import attached, evidence, runner
from imagekit.remote import Remote
from imagekit.report import Report
from imagekit.site import Site


def prove(name: str, on: str, wish: runner.Wish, site: Site, say: Say) -> Report:
    """`name`: HOST/REPOSITORY with a tag or digest; `on`: of [runners] of the site.

    The report is attached to the image. Nothing is taken over from an earlier proof. Raises UsageError, Surroundings.
    """
    found = site.settings.runners.get(on)
    if found is None:
        known = ", ".join(sorted(site.settings.runners)) or "none"
        raise UsageError(f"the site has no [runners.{on}]", hint=f"there is {known}")
    asked = references.parse(name.removeprefix(remote.REGISTRY))
    there = remote.repository(asked, site)
    digest, _ = attached.names_of(there, asked.digest or asked.tag or "latest")
    reference = f"{asked.place}@{digest}"
    where = Cluster(Remote(reference, there, digest), reference, on, found, lambda text: say("", text))
    say("prove", f"on {on}: a Job with {found.gpus} {found.resource}")
    report = runner.prove(where, reference, replace(wish, fresh=True), lambda step: say("~", step))
    word = publish.told(there, digest, evidence.of(report.image))
    if word:
        say("", word)
    return report
