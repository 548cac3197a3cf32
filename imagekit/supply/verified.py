"""Whether an image of a registry is what is said of it: its bytes, its name, what it was made from, its proof, its
signature."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from imagekit import contract, papers, policy, remote, tag
from imagekit.errors import UsageError
from imagekit.oci import cosign, referrers
from imagekit.oci import reference as references
from imagekit.oci.answers import Refused
from imagekit.oci.reference import DIGEST, Reference
from imagekit.oci.registry import Repository
from imagekit.papers import MadeFrom
from imagekit.proof import attached, evidence
from imagekit.remote import Remote
from imagekit.report import failing
from imagekit.site import Site
from imagekit.supply import provenance, sbom

OURS = re.compile(r"\d+\.\d+\.\d+-cuda")
"""How a name begins that says what it leads to (docs/tags.md)."""

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"

ODD = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError)
"""How what others attach is not what it should be."""

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    what: str
    """bytes | name | record | sbom | provenance | proof | signature"""
    status: str
    """PASS | FAIL | SKIP"""
    text: str


@dataclass
class _Image:
    """What is asked about."""

    place: str
    """HOST/REPOSITORY."""
    there: Repository
    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    """Public; empty: nothing has to be signed."""
    ca: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    """Digest of a manifest -> what is wrong with its signature."""
    used: list[str] = field(default_factory=list)
    """Digests of what was believed."""

    def trouble(self, digest: str) -> str:
        if self.key and digest not in self.verdicts:
            self.verdicts[digest] = cosign.trouble(f"{self.place}@{digest}", self.key, self.ca, self.proxies)
        return self.verdicts.get(digest, "")

    def attached(self, kind: str, good: Callable[[Any], T]) -> T | None:
        """The first thing of a kind that is about this image, in order, and signed where it has to be.

        `good` raises one of ODD for what is none. Anybody who may push can attach something: the rest is passed over.
        """
        for one in referrers.of(self.there, self.digest, kind):
            try:
                found = good(json.loads(referrers.content(self.there, one)))
            except Refused as error:
                if error.status != 404:
                    raise
                continue
            except ODD:
                continue
            if not self.trouble(one.digest):
                self.used.append(one.digest)
                return found
        return None


def verify(name: str, key: str, site: Site) -> tuple[str, list[Finding]]:
    """(HOST/REPOSITORY@DIGEST, what was found). `name`: of an image in a registry; `key`: public, or empty for the
    site's. Raises UsageError where there is no such image, Surroundings where a key is given and nothing here can use
    it."""
    asked = references.parse(name.removeprefix(remote.REGISTRY))
    there = remote.repository(asked, site)
    digest, config = attached.names_of(there, asked.digest or asked.tag or "latest")
    away = Remote(str(asked), there, digest)
    labels = contract.told(away.image("")["Config"].get("Labels") or {})
    if key:
        cosign.needed()
    wanted = key or (site.settings.sign.public if cosign.available() else "")
    image = _Image(asked.place, there, digest, labels, wanted, site.ca, site.proxy)
    made = _made(image, config, away)
    found = [
        _bytes(there, digest),
        _name(image, asked, site),
        _record(image, made),
        _sbom(image, made),
        _provenance(image, made),
        _proof(image, config),
        _signature(image, site),
    ]
    return f"{asked.place}@{digest}", found


def _bytes(there: Repository, digest: str) -> Finding:
    """Every blob is there in its size; a registry compares digests when it takes them."""
    try:
        manifest = json.loads(there.manifest(digest)[0])
        rows = [(str(row["digest"]), int(row["size"])) for row in (manifest["config"], *manifest["layers"])]
    except ODD:
        return Finding("bytes", FAIL, "its manifest cannot be read")
    there_are = [DIGEST.fullmatch(name) and there.has(name, size, reading=True) for name, size in rows]
    missing = [name[:19] for (name, _), is_there in zip(rows, there_are, strict=True) if not is_there]
    if missing:
        return Finding("bytes", FAIL, f"{len(missing)} blobs are not there: {', '.join(missing[:3])}")
    return Finding("bytes", PASS, f"manifest by its digest, {len(rows)} blobs")


def _made(image: _Image, config: str, away: Remote) -> MadeFrom | None:
    """Its record, and the lock: attached, or in the image itself."""

    def good(row: Any) -> MadeFrom:
        made = papers.read(row)
        if made.record.image not in (image.digest, config):
            raise ValueError("it is about another image")
        inside = b"" if made.lock else away.files("", [papers.LOCK]).get(papers.LOCK, b"")
        return MadeFrom(made.record, made.lock or papers.lock_in(inside, image.labels.get("lock", "")))

    return image.attached(papers.KIND, good)


def _name(image: _Image, reference: Reference, site: Site) -> Finding:
    """A name of ours leads to the image that it says: who may move names could have it lead to another good one."""
    asked = reference.tag
    if reference.digest or not asked:
        return Finding("name", SKIP, "a digest was asked for")
    if not OURS.match(asked):
        return Finding("name", SKIP, f"{asked} says nothing of what it leads to")
    try:
        own = tag.of_labels(str(reference), image.labels, site.settings.tags, "0" * 7, "0" * 8)
    except UsageError as error:
        return Finding("name", FAIL, error.message)
    bare = own.profile.rpartition(":")[2]
    stack = f"{image.labels.get('torch', '')}-cuda{image.labels.get('cuda', '')}"
    match = tag.IMMUTABLE.fullmatch(asked)
    if asked not in (bare, stack) and not (match and match["stem"] == bare):
        return Finding("name", FAIL, f"it leads to an image of {bare}")
    return Finding("name", PASS, "it is the image's own")


def _record(image: _Image, made: MadeFrom | None) -> Finding:
    if made is None:
        return Finding("record", FAIL, "nothing that can be believed says what it was made from")
    if image.labels.get("lock") != f"sha256:{made.record.lock}":
        return Finding("record", FAIL, "its label names another lock than its record")
    if made.lock is None:
        return Finding("record", FAIL, "its record is there without the lock")
    return Finding("record", PASS, f"lock sha256:{made.record.lock[:12]}, {len(made.lock.packages)} packages")


def _sbom(image: _Image, made: MadeFrom | None) -> Finding:
    if made is None or made.lock is None:
        return Finding("sbom", FAIL, "there is no lock to compare it with")
    wanted = {
        (package.name, package.version): [package.sha256] if package.kind != "standin" else []
        for package in made.lock.packages
    } | {(name, version): [] for name, version in made.record.system.items()}

    def good(row: Any) -> str:
        if _contents(row, image.digest) != wanted:
            raise ValueError("it says something else")
        return str(row["spdxVersion"])

    version = image.attached(sbom.KIND, good)
    if version is None:
        return Finding("sbom", FAIL, "none is attached that says what lock and record say")
    return Finding("sbom", PASS, f"{version}, {len(wanted)} packages, as locked and recorded")


def _contents(row: Any, digest: str) -> dict[tuple[str, str], list[str]]:
    """(name, version) -> hashes, of all packages. Raises one of ODD for what is no SBOM of this image."""
    rows = {str(one["SPDXID"]): one for one in row["packages"]}
    if _sums(rows.pop(sbom.IMAGE)) != [digest.removeprefix("sha256:")]:
        raise ValueError("it is about another image")
    rows.pop(sbom.OS, None)  # of older ones
    _ = [(str(one["licenseDeclared"]), str(one["name"])) for one in rows.values()]
    return {(str(one["name"]), str(one["versionInfo"])): _sums(one) for one in rows.values()}


def _sums(row: Any) -> list[str]:
    return [str(one["checksumValue"]) for one in row.get("checksums") or []]


def document(place: Reference, there: Repository, digest: str, site: Site) -> dict[str, Any]:
    """The SBOM of an image of a registry: one that agrees with its record, if there is one, else one of this image;
    signed, where the site has a public key and cosign is here. Raises UsageError where there is none.
    """
    key = site.settings.sign.public if cosign.available() else ""
    image = _Image(place.place, there, digest, key=key, ca=site.ca, proxies=site.proxy)
    made = papers.of(there, digest)
    names = set[tuple[str, str]]()
    if made and made.lock:
        names = {(package.name, package.version) for package in made.lock.packages} | set(made.record.system.items())

    def good(row: Any, *, whole: bool = False) -> dict[str, Any]:
        if (found := _contents(row, digest).keys()) != names and names:
            raise ValueError(f"it says something else: {len(found)} packages")
        if whole and sbom.OS not in {one["SPDXID"] for one in row["packages"]}:
            raise ValueError("it is one of an older imagekit")
        return dict(row)

    found = image.attached(sbom.KIND, functools.partial(good, whole=True)) or image.attached(sbom.KIND, good)
    if found is None:
        signed = " that is signed" if key else ""
        hint = "imagekit build --output registry: and imagekit publish attach one"
        raise UsageError(f"{place.place}@{digest[:19]} has no SBOM{signed}", hint=hint)
    return found


def _provenance(image: _Image, made: MadeFrom | None) -> Finding:
    if made is None or made.lock is None:
        return Finding("provenance", FAIL, "there is no lock to compare it with")
    wanted = provenance.statement(made.lock, made.record, image.digest)
    build = wanted["predicate"]["buildDefinition"]

    def good(row: Any) -> int:
        same = row["predicateType"] == provenance.PREDICATE and row["subject"] == wanted["subject"]
        if not same or row["predicate"]["buildDefinition"] != build:
            raise ValueError("it says something else")
        return len(build["resolvedDependencies"])

    count = image.attached(provenance.KIND, good)
    if count is None:
        return Finding("provenance", FAIL, "none is attached that says what lock and record say")
    return Finding("provenance", PASS, f"SLSA v1, {count} dependencies, as locked and recorded")


def _proof(image: _Image, config: str) -> Finding:
    """As the registry has it; reports come from whoever has proven the image, and are not signed."""
    ends = datetime.now(timezone.utc) + policy.AHEAD
    found = [one for one in attached.all_of(image.there, image.digest) if policy.time_of(one.report.time) <= ends]
    found.sort(key=lambda one: policy.time_of(one.report.time), reverse=True)
    if not evidence.good(found):
        bad = failing([one.report for one in found])
        return Finding("proof", FAIL, bad[0] if bad else "the whole image was never proven")
    told = f"{evidence.stages(found[0].report)}, {found[0].report.time[:10]}"
    return Finding("proof", PASS, told + ("; reports are not signed" if image.key else ""))


def _signature(image: _Image, site: Site) -> Finding:
    """Of the image, and of all that was believed above."""
    if not image.key and site.settings.sign.public:
        return Finding("signature", SKIP, cosign.MISSING)
    if not image.key:
        return Finding("signature", SKIP, "no public key: --key, or [sign] public of the site")
    problem = image.trouble(image.digest)
    if problem:
        return Finding("signature", FAIL, problem)
    return Finding("signature", PASS, f"of the image and of {len(image.used)} things attached to it")


def sign(place: Reference, digests: Sequence[str], site: Site) -> str:
    """Sign an image, the first, and what was attached to it; a word on it, empty where the site has no key.

    What our own key has signed already stays as it is. Raises Surroundings.
    """
    key, public = site.settings.sign.key, site.settings.sign.public
    if not key:
        return ""
    there = remote.repository(place, site)
    new = 0
    for digest in digests:
        name = f"{place.place}@{digest}"
        if cosign.signature(there, digest) and (not public or not cosign.trouble(name, public, site.ca, site.proxy)):
            continue
        cosign.sign(name, key, site.ca, site.proxy)
        new += 1
    return f"{new} of {len(digests)} by cosign: the image, and what says what is in it" if new else "signed already"
