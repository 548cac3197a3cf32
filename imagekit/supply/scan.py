"""Known vulnerabilities of an image, by trivy where it is installed: of its SBOM, so nothing is pulled.

trivy finds the distribution in the SBOM by its package OperatingSystem, and the advisories of a distribution package by
its source (`sbom`). Its database is its own matter: TRIVY_DB_REPOSITORY, TRIVY_SKIP_DB_UPDATE and all other variables
of it hold. What is allowed is judged here and not by trivy, so that each entry has a reason and an end.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from imagekit import scratch
from imagekit.errors import Surroundings, without_logins
from imagekit.oci import cosign
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.report import some
from imagekit.site import Site
from imagekit.site.model import Scan as Settings
from imagekit.supply import allowed, sbom, verified
from imagekit.supply.allowed import Allowed

SEVERITIES = ("critical", "high", "medium", "low", "unknown")
"""Of trivy, the worst first."""

TIMEOUT = 600
"""Seconds for one call, which may begin with a database of a hundred megabytes."""


@dataclass(frozen=True)
class Vulnerability:
    id: str
    """CVE-2024-12345, GHSA-..., DSA-..."""
    package: str
    version: str
    severity: str
    """One of SEVERITIES."""
    fixed: str = ""
    """The version that has it no more; empty where there is none yet."""
    title: str = ""
    url: str = ""

    def __str__(self) -> str:
        fix = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        return f"{self.id} {self.severity}: {self.package} {self.version}, {fix}"


@dataclass(frozen=True)
class Scan:
    """What was found, judged."""

    found: tuple[Vulnerability, ...]
    """The worst first."""
    counts: tuple[Vulnerability, ...]
    """Those that are bad enough and that nobody allows."""
    allowed: tuple[tuple[Vulnerability, Allowed], ...]
    expired: tuple[Allowed, ...]
    """Entries of the allowlist whose day has come; they allow nothing any more."""
    unused: tuple[Allowed, ...]
    """Entries that nothing was found for: they can go."""

    @property
    def numbers(self) -> dict[str, int]:
        """Severity -> how many were found."""
        rows = {name: sum(one.severity == name for one in self.found) for name in SEVERITIES}
        return {name: count for name, count in rows.items() if count}


def available() -> bool:
    return shutil.which("trivy") is not None


def needed() -> None:
    """Raises Surroundings where there is no trivy."""
    if not available():
        raise Surroundings("trivy, which knows the vulnerabilities, is not installed", hint="trivy.dev has it")


def scan(place: Reference, there: Repository, digest: str, site: Site, settings: Settings) -> Scan:
    """An image of a registry. Raises UsageError for an allowlist that cannot be used and an image without an SBOM,
    Surroundings."""
    needed()
    entries = allowed.read(Path(settings.allow)) if settings.allow else ()
    if site.settings.sign.public:
        cosign.needed()
    found = of(verified.document(place, there, digest, site), site)
    return judged(found, entries, datetime.now(timezone.utc).date(), settings.fail, settings.unfixed)


def of(document: Mapping[str, Any], site: Site) -> tuple[Vulnerability, ...]:
    """What trivy finds for an SBOM, the worst first. Raises Surroundings."""
    _whole(document)
    with scratch.folder("scan") as place:  # with neither .trivyignore nor trivy.yaml
        (place / "sbom.spdx.json").write_text(json.dumps(document), encoding="utf-8")
        call = ["trivy", "sbom", "--quiet", "--scanners", "vuln", "--format", "json", "sbom.spdx.json"]
        quiet = {"TRIVY_DISABLE_TELEMETRY": "true", "TRIVY_SKIP_VERSION_CHECK": "true"}
        environment = {**scratch.reaching(site.ca, site.proxy), **quiet}
        try:
            done = subprocess.run(
                call, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Surroundings(f"trivy took more than {TIMEOUT} s") from None
    if done.returncode:
        lines = [line.strip() for line in without_logins(done.stderr).splitlines() if line.strip()]
        raise Surroundings("trivy could not scan", details=[line.replace(str(place), "") for line in lines[-3:]],
                           hint="TRIVY_DB_REPOSITORY names a mirror of its database")  # fmt: skip
    try:
        return read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Surroundings("trivy's report cannot be read", hint="trivy --version: 0.50 and later are read") from None


def _whole(document: Mapping[str, Any]) -> None:
    """An SBOM by which nothing can be found is no good news. Raises Surroundings."""
    rows = [row for row in document["packages"] if str(row["SPDXID"]).startswith("SPDXRef-system-")]
    lacks = [str(row["name"]) for row in rows if not str(row.get("sourceInfo", "")).startswith(sbom.SOURCE)]
    if not any(row["SPDXID"] == sbom.OS and row["versionInfo"] for row in document["packages"]):
        lacks = ["its distribution", *lacks]
    if lacks:
        raise Surroundings(
            f"its SBOM does not say what a scanner needs to know: {some(lacks)}", hint="build it again, and publish it"
        )


def read(report: Mapping[str, Any]) -> tuple[Vulnerability, ...]:
    """trivy's JSON, schema 2. Raises ValueError, KeyError, TypeError, AttributeError for anything else."""
    if report["SchemaVersion"] != 2 or not report["Metadata"]["OS"]["Family"]:
        raise ValueError("another schema, or the distribution was not found")
    found = {
        Vulnerability(
            str(row["VulnerabilityID"]), str(row["PkgName"]), str(row["InstalledVersion"]), _severity(row),
            str(row.get("FixedVersion") or ""), str(row.get("Title") or ""), str(row.get("PrimaryURL") or ""),
        )
        for result in report.get("Results") or []
        for row in result.get("Vulnerabilities") or []
    }  # fmt: skip
    return tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.id, one.package)))


def _severity(row: Mapping[str, Any]) -> str:
    word = str(row.get("Severity") or "").lower()
    return word if word in SEVERITIES else "unknown"


def judged(found: Sequence[Vulnerability], entries: Sequence[Allowed], today: date, fail: str, unfixed: bool) -> Scan:
    """`fail`: the least severity that counts, empty for none; `unfixed`: also what there is no fix for."""
    valid = [one for one in entries if one.until >= today]
    matches = [(one, next((entry for entry in valid if entry.covers(one.id, one.package)), None)) for one in found]
    bad = SEVERITIES[: SEVERITIES.index(fail) + 1] if fail else ()
    counts = [one for one, by in matches if by is None and one.severity in bad and (one.fixed or unfixed)]
    used = {by for _, by in matches if by}
    return Scan(
        found=tuple(found), counts=tuple(counts), allowed=tuple((one, by) for one, by in matches if by),
        expired=tuple(one for one in entries if one.until < today),
        unused=tuple(one for one in valid if one not in used),
    )  # fmt: skip
