"""Reports in a registry, beside the image that they are about: whoever can pull it sees what was proven of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from imagekit import report as reports
from imagekit.errors import UsageError
from imagekit.oci import referrers
from imagekit.oci.answers import Refused
from imagekit.oci.image import digest as digest_of
from imagekit.oci.reference import DIGEST
from imagekit.oci.registry import Repository
from imagekit.proof.evidence import Kept

KIND = "application/vnd.imagekit.report.v1+json"

MOST = 50
"""Reports of an image that are sent or read; the newest."""


def names_of(there: Repository, name: str) -> tuple[str, str]:
    """(digest of the manifest, of the config) of a tag or digest. Raises UsageError where there is no such image.

    A report names an image as its engine did: by the one in containerd's store, by the other in Docker's own.
    """
    try:
        content, _ = there.manifest(name)
        manifest = json.loads(content)
        config = str(manifest["config"]["digest"])
        if "manifests" not in manifest and DIGEST.fullmatch(config):
            return digest_of(content), config
    except Refused as error:
        if error.status == 404:
            raise UsageError(f"{there.wire.host} has no image {there.name}:{name}") from None
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UsageError(f"{there.name}:{name} at {there.wire.host} is no image but a list of them")


def send(there: Repository, name: str, found: Sequence[Kept]) -> int:
    """Attach reports to an image; how many are new there. Raises UsageError for a report on another image."""
    digest, config = names_of(there, name)
    for kept in found:
        if kept.report.image not in (digest, config):
            raise UsageError(
                f"{there.wire.host}/{there.name}:{name} is another image than {kept.report.image[:19]}",
                details=[f"there  {config}", f"here   {kept.report.image}"],
                hint="a report is about one image, byte by byte; prove the one that is there: imagekit test",
            )
    known = {one.digest for one in referrers.of(there, digest, KIND)}
    sent = {_sent(there, digest, kept) for kept in reversed(found[:MOST])}
    return len(sent - known)


def _sent(there: Repository, digest: str, kept: Kept) -> str:
    told = {
        "org.opencontainers.image.created": kept.report.time, "io.imagekit.verdict": kept.report.verdict,
        "io.imagekit.stages": " ".join(sorted({check.stage for check in kept.report.checks if not check.bad})),
    }  # fmt: skip
    return referrers.attach(there, digest, KIND, json.dumps(kept.raw, sort_keys=True).encode(), told)


def all_of(there: Repository, name: str) -> list[Kept]:
    """The reports of an image, newest first. One that cannot be read is passed over."""
    digest, config = names_of(there, name)
    found = []
    listed = referrers.of(there, digest, KIND)
    for one in sorted(listed, key=lambda one: one.annotations.get("org.opencontainers.image.created", ""))[-MOST:]:
        try:
            raw = json.loads(referrers.content(there, one))
            kept = Kept(raw, reports.from_json(raw))
        except Refused as error:
            if error.status != 404:
                raise
            continue
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            continue
        if kept.report.image in (digest, config):  # anybody who may push can attach what was said of another
            found.append(kept)
    return found[::-1]
