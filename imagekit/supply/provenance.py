"""SLSA provenance v1 of an image, as an in-toto statement: from what it was built, and by what.

It says what imagekit knows: the lock with every file by hash, the distribution packages, the image below, what was
asked. Without a signature it says so to whoever trusts the registry.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from imagekit import __version__
from imagekit.lock.model import Lock
from imagekit.oci.referrers import Paper
from imagekit.record import Record
from imagekit.supply import sbom

KIND = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PREDICATE_TYPE = "in-toto.io/predicate-type"
"""Annotation by which tools tell statements apart."""

BUILD, BUILDER = "urn:imagekit:build:v1", "urn:imagekit:builder"


def paper(lock: Lock, record: Record, digest: str) -> Paper:
    """`digest`: of the image's manifest."""
    text = json.dumps(statement(lock, record, digest), indent=1, sort_keys=True).encode()
    return Paper(KIND, text, {PREDICATE_TYPE: PREDICATE, "io.imagekit.key": record.key})


def statement(lock: Lock, record: Record, digest: str) -> dict[str, Any]:
    r = lock.resolution
    asked = {
        "profile": r.profile, "overlays": list(r.overlays), "torch": r.torch, "cuda": r.cuda, "python": r.python,
        "base": f"{r.base.kind}:{r.base.name}", "features": list(r.features),
    }  # fmt: skip
    return {
        "_type": STATEMENT,
        "subject": [{"name": record.tag, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": asked,
                "internalParameters": {
                    "lock": f"sha256:{record.lock}",
                    "key": record.key,
                    "plan": record.parts,
                    # of the site: its names of indexes; their addresses are nobody's business
                    "indexes": sorted({package.index for package in lock.packages if package.index}),
                },
                "resolvedDependencies": [*_below(lock), *_python(lock), *_system(lock, record)],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"imagekit": __version__}}},
        },
    }


def _below(lock: Lock) -> list[dict[str, Any]]:
    base = lock.resolution.base
    if base.kind != "image":
        return []
    name = base.name.rpartition("@")[0] or base.name
    row: dict[str, Any] = {"uri": f"docker://{name}", "name": "base"}
    return [row | ({"digest": {"sha256": base.digest.removeprefix("sha256:")}} if base.digest else {})]


def _python(lock: Lock) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for package in lock.packages:
        if package.kind == "standin":
            continue
        rows.append({"uri": sbom.purl(package), "name": package.file, "digest": {"sha256": package.sha256}})
        if package.commit:
            rows[-1]["annotations"] = {"commit": package.commit}
    tools = [("the image", tool) for tool in lock.tools]
    tools += [(owner, tool) for owner, rows_of in sorted(lock.build_requires.items()) for tool in rows_of]
    for owner, tool in tools:
        row = {"uri": f"pkg:pypi/{tool.name}@{quote(tool.version)}", "name": f"to build {owner}"}
        # of several files that would do nobody knows which did
        rows.append(row | ({"digest": {"sha256": tool.hashes[0]}} if len(tool.hashes) == 1 else {}))
    return rows


def _system(lock: Lock, record: Record) -> list[dict[str, Any]]:
    distribution = (lock.resolution.os.split() or ["linux"])[0].lower()
    return [
        {"uri": f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}", "name": name}
        for name, version in sorted(record.system.items())
    ]
