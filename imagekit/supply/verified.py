"""Whether an image of a registry is what is said of it: its bytes, what it was made from, its proof, its signature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagekit import contract, papers, remote
from imagekit.oci import cosign, referrers
from imagekit.oci import reference as references
from imagekit.oci.answers import Refused
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.papers import MadeFrom
from imagekit.proof import attached, evidence
from imagekit.remote import Remote
from imagekit.report import failing
from imagekit.site import Site
from imagekit.supply import provenance, sbom

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclass(frozen=True)
class Finding:
    what: str
    """bytes | record | sbom | provenance | proof | signature"""
    status: str
    """PASS | FAIL | SKIP"""
    text: str


def verify(name: str, key: str, site: Site) -> tuple[str, list[Finding]]:
    """(HOST/REPOSITORY@DIGEST, what was found). `name`: of an image in a registry; `key`: public, or empty for the
    site's. Raises UsageError where there is no such image, Surroundings."""
    asked = references.parse(name.removeprefix(remote.REGISTRY))
    there = remote.repository(asked, site)
    digest, config = attached.names_of(there, asked.digest or asked.tag or "latest")
    image = Remote(str(asked), there, digest).image("")
    made = papers.of(there, digest)
    found = [
        _bytes(there, digest),
        _record(made, contract.told(image["Config"].get("Labels") or {})),
        _sbom(there, digest, made),
        _provenance(there, digest, made),
        _proof(there, digest, config),
        _signature(asked, there, digest, key or site.settings.sign.public, site),
    ]
    return f"{asked.place}@{digest}", found


def _bytes(there: Repository, digest: str) -> Finding:
    """Every blob is there in its size; a registry compares digests when it takes them."""
    manifest = json.loads(there.manifest(digest)[0])
    rows = [manifest["config"], *manifest["layers"]]
    missing = [str(row["digest"])[:19] for row in rows if not there.has(str(row["digest"]), int(row["size"]))]
    if missing:
        return Finding("bytes", FAIL, f"{len(missing)} blobs are not there: {', '.join(missing[:3])}")
    return Finding("bytes", PASS, f"manifest by its digest, {len(rows)} blobs")


def _record(made: MadeFrom | None, labels: dict[str, str]) -> Finding:
    if made is None:
        return Finding("record", FAIL, "nothing says what it was made from")
    if labels.get("lock") != f"sha256:{made.record.lock}":
        return Finding("record", FAIL, "its label names another lock than its record")
    if made.lock is None:
        return Finding("record", SKIP, "its record is there without the lock")
    return Finding("record", PASS, f"lock sha256:{made.record.lock[:12]}, {len(made.lock.packages)} packages")


def _sbom(there: Repository, digest: str, made: MadeFrom | None) -> Finding:
    found = document(there, digest)
    if found is None:
        return Finding("sbom", FAIL, "none is attached")
    if made is None or made.lock is None:
        return Finding("sbom", SKIP, "there is no lock to compare it with")
    said = {(row["name"], row.get("versionInfo")): _sums(row) for row in found["packages"]}
    wrong = [
        package.name
        for package in made.lock.packages
        if said.get((package.name, package.version)) != ([package.sha256] if package.kind != "standin" else [])
    ]
    wrong += [name for name, version in made.record.system.items() if (name, version) not in said]
    if wrong:
        return Finding("sbom", FAIL, f"it says something else of {', '.join(wrong[:3])}")
    return Finding("sbom", PASS, f"{found['spdxVersion']}, {len(said) - 1} packages, as locked and recorded")


def _sums(row: dict[str, Any]) -> list[str]:
    return [str(one["checksumValue"]) for one in row.get("checksums") or []]


def document(there: Repository, digest: str) -> dict[str, Any] | None:
    """The SBOM of an image of a registry; of an image and no other."""
    for row in _attached(there, digest, sbom.KIND):
        image: dict[str, Any] = next((one for one in row.get("packages") or [] if one.get("SPDXID") == sbom.IMAGE), {})
        if _sums(image) == [digest.removeprefix("sha256:")]:
            return row
    return None


def _provenance(there: Repository, digest: str, made: MadeFrom | None) -> Finding:
    if made is None or made.lock is None:
        return Finding("provenance", SKIP, "there is no lock to compare it with")
    wanted = provenance.statement(made.lock, made.record, digest)
    for row in _attached(there, digest, provenance.KIND):
        if row.get("predicateType") == provenance.PREDICATE and row.get("subject") == wanted["subject"]:
            if row["predicate"].get("buildDefinition") != wanted["predicate"]["buildDefinition"]:
                return Finding("provenance", FAIL, "it says another build than lock and record")
            count = len(wanted["predicate"]["buildDefinition"]["resolvedDependencies"])
            return Finding("provenance", PASS, f"SLSA v1, {count} dependencies, as locked and recorded")
    return Finding("provenance", FAIL, "none is attached")


def _proof(there: Repository, digest: str, config: str) -> Finding:
    found = [*evidence.of(config, digest), *attached.all_of(there, digest)]
    found.sort(key=lambda one: one.report.time, reverse=True)
    if evidence.good(found):
        return Finding("proof", PASS, f"{evidence.stages(found[0].report)}, {found[0].report.time[:10]}")
    bad = failing([one.report for one in found])
    return Finding("proof", FAIL, bad[0] if bad else "the whole image was never proven")


def _signature(asked: Reference, there: Repository, digest: str, key: str, site: Site) -> Finding:
    """Of the image, and of all that says what it is."""
    if not key:
        return Finding("signature", SKIP, "no public key: --key, or [sign] public of the site")
    if not cosign.available():
        return Finding("signature", SKIP, cosign.MISSING)
    signed = to_sign(there, digest)
    for one in signed:
        problem = cosign.trouble(f"{asked.place}@{one}", key, site.ca, site.proxy)
        if problem:
            what = "the image" if one == digest else "what is attached to it"
            return Finding("signature", FAIL, f"{what}: {problem}")
    return Finding("signature", PASS, f"of the image and of {len(signed) - 1} things attached to it")


def to_sign(there: Repository, digest: str) -> list[str]:
    """The image, and what is attached to it that says what it is; reports come later, from whoever has proven it."""
    kinds = (papers.KIND, sbom.KIND, provenance.KIND)
    return [digest, *(one.digest for one in referrers.all_of(there, digest) if one.kind in kinds)]


def sign(place: Reference, digest: str, site: Site) -> str:
    """A word on what was signed; empty where the site has no key. Raises Surroundings."""
    if not site.settings.sign.key:
        return ""
    there = remote.repository(place, site)
    signed = to_sign(there, digest)
    for one in signed:
        if not there.digest_of(cosign.tag_of(one)):
            cosign.sign(f"{place.place}@{one}", site.settings.sign.key, site.ca, site.proxy)
    return f"the image and {len(signed) - 1} things attached to it, by cosign"


def _attached(there: Repository, digest: str, kind: str) -> Iterator[dict[str, Any]]:
    for one in referrers.of(there, digest, kind):
        try:
            row = json.loads(referrers.content(there, one))
        except Refused as error:
            if error.status != 404:
                raise
            continue
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row
