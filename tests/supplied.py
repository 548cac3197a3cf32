"""An image of a registry with all that imagekit puts beside it: report, record, lock, SBOM, provenance."""

from __future__ import annotations

from pathlib import Path

from registry_double import Registry
from small_images import labelled, target

from imagekit import report as reports
from imagekit.lock.model import Lock
from imagekit.oci import reference as references
from imagekit.oci.image import Image
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.pipeline import the_site
from imagekit.proof import attached
from imagekit.proof.evidence import Kept
from imagekit.record import Record
from imagekit.report import Check, Report
from imagekit.supply import beside
from imagekit.supply.contents import Contents, Origin
from imagekit.supply.licenses import License

DIGEST = f"sha256:{'1' * 64}"
TAG = "2.4.1-cuda12.1-tiny"


def record(lock: Lock, image: str = DIGEST, **changes: object) -> Record:
    row = {
        "tag": f"pytorch:{TAG}", "key": "a" * 64, "created": "20260102", "image": image, "lock": lock.digest, "base": "b",
        "torch": "2.4.1", "cuda": "12.1", "python": "3.11", "system": {"libstdc++6": "12.2.0-14", "tini": "0.19.0-1"},
        "built": {}, "packages": {package.name: package.version for package in lock.packages},
    }  # fmt: skip
    return Record(**{**row, **changes})  # type: ignore[arg-type]


NVIDIA = License("LicenseRef-NVIDIA-Proprietary", {"LicenseRef-NVIDIA-Proprietary": "NVIDIA Proprietary Software"})
FOUND = Contents(
    {"six": License("MIT"), "torch": NVIDIA},
    {"tini": License("MIT")},
    {"libstdc++6": Origin("amd64", "gcc-12", "12.2.0-14"), "tini": Origin("amd64", "tini", "0.19.0-1")},
)


def pushed(
    folder: Path, there: Registry, *, lock: Lock, proven: str = "PASS", found: Contents | None = None
) -> tuple[Image, str]:
    """An image with all that goes with it; its reference."""
    told = {"profile": "tiny", "torch": "2.4.1", "cuda": "12.1", "lock": f"sha256:{lock.digest}"}
    made = labelled(folder / "image", "one", told)
    repository = target(there)
    push(made, Sending(repository), ["a"])
    raw = reports.as_json(Report(made.id, (Check("a", "static", proven),), 1.0, time="2026-11-22T02:00:00+00:00"))
    attached.send(repository, made.digest, [Kept(raw, reports.from_json(raw))])
    place = references.parse(f"{there.address}/ml/pytorch")
    beside.attach(
        place, repository, made.digest, (lock, record(lock, made.id)), found or FOUND, the_site(None), lambda *_: None
    )
    return made, f"{there.address}/ml/pytorch:a"
