"""SPDX 2.3 of an image: each package of Python by lock and wheel, each of the distribution by its record.

The same image has the same document on every day: its time is that of the lock.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from imagekit import __version__
from imagekit.lock.model import Lock, Package
from imagekit.oci.referrers import Paper
from imagekit.record import Record
from imagekit.supply.contents import Contents, Origin
from imagekit.supply.licenses import NONE, License

KIND = "application/spdx+json"

IMAGE = "SPDXRef-image"
OS = "SPDXRef-OperatingSystem"
"""The distribution, by the name under which scanners look for one (trivy, pkg/sbom/spdx/unmarshal.go)."""

SOURCE = "built package from: "
"""How a package says its source, as trivy reads and writes it (pkg/sbom/spdx)."""

Row = dict[str, Any]


def paper(lock: Lock, record: Record, licenses: Contents, digest: str) -> Paper:
    """`digest`: of the image's manifest."""
    text = json.dumps(document(lock, record, licenses, digest), indent=1, sort_keys=True).encode()
    return Paper(KIND, text, {"org.opencontainers.image.created": _time(lock), "io.imagekit.key": record.key})


def document(lock: Lock, record: Record, licenses: Contents, digest: str) -> Row:
    python = [_of_python(package, record, licenses.python.get(package.name, License())) for package in lock.packages]
    system = [
        _of_system(name, version, lock.resolution.os, licenses.system.get(name, License()), licenses.origins.get(name))
        for name, version in sorted(record.system.items())
    ]
    distribution, number = _distribution(lock.resolution.os)
    os = {**_row(OS, distribution, number, ""), "primaryPackagePurpose": "OPERATING-SYSTEM", "externalRefs": []}
    refs: dict[str, str] = {}
    for found in (*licenses.python.values(), *licenses.system.values()):
        refs |= found.refs
    name = record.tag.rpartition(":")[0].rpartition("/")[2]
    image = _row(IMAGE, record.tag, record.key[:12], f"pkg:oci/{quote(name)}@{quote(digest)}")
    image |= {"primaryPackagePurpose": "CONTAINER", "checksums": _sha256(_hex(digest))}
    used = " ".join(row["licenseDeclared"] for row in (*python, *system))
    made: Row = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": record.tag,
        "creationInfo": {"created": _time(lock), "creators": [f"Tool: imagekit-{__version__}"]},
        "packages": [image, os, *python, *system],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE),
            *(_related(IMAGE, "CONTAINS", row["SPDXID"]) for row in (os, *python)),
            *(_related(OS, "CONTAINS", row["SPDXID"]) for row in system),
            *_needs(lock),
        ],
        "hasExtractedLicensingInfos": [
            {"licenseId": ref, "extractedText": text} for ref, text in sorted(refs.items()) if ref in used
        ],
    }  # fmt: skip
    # another document has another name, also on the same image
    made["documentNamespace"] = (
        f"urn:imagekit:spdx:{hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()}"
    )
    return made


def _of_python(package: Package, record: Record, found: License) -> Row:
    row = _row(_id("python", package.name), package.name, package.version, purl(package))
    row |= {"licenseDeclared": found.expression}
    if package.kind == "standin":
        return {**row, "comment": "no file of its own: it stands in for the package that replaces it"}
    if package.sha256:
        row |= {"packageFileName": package.file, "checksums": _sha256(package.sha256)}
    if package.git:
        row |= {"downloadLocation": f"git+{_public(package.git)}@{package.commit}"}
    if package.kind == "sdist":
        stem = re.sub(r"[-_.]+", "_", package.name)
        wheels = [f"{file} sha256:{sha}" for file, sha in record.built.items() if file.lower().startswith(f"{stem}-")]
        row |= {"sourceInfo": f"built from source with the image: {', '.join(wheels) or 'its wheel is in no record'}"}
    return row


def purl(package: Package) -> str:
    """Only what comes from the default index or that of torch is what everybody calls by this name."""
    kind = "pypi" if package.index in ("pypi", "pytorch") or package.kind == "standin" else "generic"
    return f"pkg:{kind}/{package.name}@{quote(package.version)}"


def _public(address: str) -> str:
    """git@host:team/name and https://user@host/team/name without a user, as an address."""
    return re.sub(r"//[^/@]*@", "//", address if "://" in address else f"ssh://{address.replace(':', '/', 1)}")


def _of_system(name: str, version: str, os: str, found: License, origin: Origin | None) -> Row:
    """Qualifiers as the purl specification has them for deb; advisories are about sources, so those are named too."""
    distribution, number = _distribution(os)
    purl = f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}"
    qualifiers = {"distro": f"{distribution}-{number}"} if number else {}
    if origin:
        qualifiers |= {"arch": origin.architecture}
        qualifiers |= {"upstream": f"{origin.source}@{origin.version}"} if origin.source != name else {}
    asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()))
    row = _row(_id("system", name), name, version, f"{purl}?{asked}" if asked else purl)
    if origin:
        row |= {"sourceInfo": f"{SOURCE}{origin.source} {origin.version}"}
    return {**row, "licenseDeclared": found.expression}


def _distribution(os: str) -> tuple[str, str]:
    """("debian", "12") of "Debian 12"."""
    name, _, number = os.partition(" ")
    return name.lower() or "linux", number.partition(" ")[0]


def _row(identifier: str, name: str, version: str, purl: str) -> Row:
    return {
        "SPDXID": identifier, "name": name, "versionInfo": version, "downloadLocation": NONE, "filesAnalyzed": False,
        "licenseConcluded": NONE, "licenseDeclared": NONE, "copyrightText": NONE, "supplier": NONE,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }  # fmt: skip


def _sha256(value: str) -> list[Row]:
    return [{"algorithm": "SHA256", "checksumValue": value}]


def _needs(lock: Lock) -> list[Row]:
    names = {package.name for package in lock.packages}
    return [
        _related(_id("python", owner), "DEPENDS_ON", _id("python", package.name))
        for package in lock.packages
        for owner in package.needed_by
        if owner in names
    ]


def _related(one: str, how: str, other: str) -> Row:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}


def _id(kind: str, name: str) -> str:
    # + of libstdc++6 and _ of names are no letters of an SPDXID
    return f"SPDXRef-{kind}-{re.sub(r'[^A-Za-z0-9.-]', lambda match: f'.{ord(match[0]):x}.', name)}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _time(lock: Lock) -> str:
    return datetime.fromtimestamp(lock.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def by_license(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Licence -> packages under it, the licences of most packages first; what is proprietary or unknown before all."""
    found: dict[str, list[str]] = {}
    for row in document["packages"]:
        if row["SPDXID"] not in (IMAGE, OS):
            found.setdefault(str(row["licenseDeclared"]), []).append(f"{row['name']} {row['versionInfo']}")

    def order(item: tuple[str, list[str]]) -> tuple[int, int]:
        name, rows = item
        return (0 if "Proprietary" in name else 1 if name == NONE else 2), -len(rows)

    return dict(sorted(found.items(), key=order))
