"""Licences as SPDX has them, the SBOM, provenance, and whether an image is what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import samples
from registry_double import Registry
from small_images import labelled, target
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from supplied import DIGEST, FOUND, pushed, record

from imagekit import papers
from imagekit import report as reports
from imagekit.lock.model import Lock
from imagekit.oci import cosign, referrers
from imagekit.oci import reference as references
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.pipeline import the_site
from imagekit.proof import attached
from imagekit.proof.evidence import Kept
from imagekit.report import Check, Report
from imagekit.supply import contents, provenance, sbom
from imagekit.supply.contents import Contents, Origin
from imagekit.supply.licenses import License, of_debian, of_wheel

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("header", "expression"), [
    ("License-Expression: mit OR apache-2.0", "MIT OR Apache-2.0"),
    ("License-Expression: LicenseRef-NVIDIA-Proprietary", "LicenseRef-NVIDIA-Proprietary"),
    ("License: NVIDIA Proprietary Software\nClassifier: License :: Other/Proprietary License", "LicenseRef-NVIDIA-Proprietary"),
    ("License: MPL-2.0 AND MIT", "MPL-2.0 AND MIT"),
    ("License: Apache Software License 2.0", "Apache-2.0"),
    ("License: BSD 3-Clause License", "BSD-3-Clause"),
    ("License: 3-Clause BSD License", "BSD-3-Clause"),
    ("License: BSD-3", "BSD-3-Clause"),
    ("License: UNKNOWN\nClassifier: License :: OSI Approved :: ISC License (ISCL)", "ISC"),
    ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
    ("License: Copyright (c) 2015 Somebody\n  more of it\nClassifier: License :: OSI Approved :: BSD License", "LicenseRef-python-Copyright-c-2015-Somebody-e2230a"),
    ("License: BSD", "LicenseRef-python-BSD"),  # of how many clauses?
    ("License: BSL", "LicenseRef-python-BSL"),  # Boost's, or Business Source?
    ("License: GPLv3\nClassifier: License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)", "LicenseRef-python-GPLv3"),
    ("License: APACHE", "LicenseRef-python-APACHE"),
    ("Classifier: License :: OSI Approved :: BSD License", "LicenseRef-python-BSD-License"),
    ("License: " + "a long text " * 20, "NOASSERTION"),
    ("Name: x", "NOASSERTION"),
])  # fmt: skip
def test_the_licence_of_a_wheel(header: str, expression: str) -> None:
    found = of_wheel(f"Metadata-Version: 2.1\nName: x\n{header}\n")
    assert found.expression == expression
    assert set(found.refs) == ({expression} if expression.startswith("LicenseRef") else set())


@pytest.mark.parametrize(("text", "expression"), [
    ("Format: https://x\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: a\nLicense: Expat\n", "GPL-2.0-or-later AND MIT"),
    ("Format: x\nLicense: LGPL-2.1+\n\nLicense: LGPL-2.1\n", "LGPL-2.1-only AND LGPL-2.1-or-later"),
    ("Format: x\nLicense: GPL-3 or BSD-3-clause\n", "(GPL-3.0-only OR BSD-3-Clause)"),
    ("Format: x\nLicense: GPL-2+ or AFL-2.1, and Expat\n", "((GPL-2.0-or-later OR AFL-2.1) AND MIT)"),
    ("Format: x\nLicense: public-domain\n", "LicenseRef-debian-public-domain"),
    ("Format: x\nLicense: LicenseRef-Foo\n", "LicenseRef-debian-LicenseRef-Foo"),
    ("Format: x\nLicense: Permission is hereby granted, free of charge, to any person obtaining\n", "NOASSERTION"),
    ("This package was debianized by somebody.\nLicense: GPL-2\n", "NOASSERTION"),
    ("", "NOASSERTION"),
])  # fmt: skip
def test_the_licence_of_a_distribution_package(text: str, expression: str) -> None:
    assert of_debian(text).expression == expression


def many_kinds() -> Lock:
    """A wheel, one that stands in for another, one built from source, and one out of a git repository."""
    more = (
        samples.package("pillow", "12.1.1", kind="standin", index=""),
        samples.package("pillow-simd", "12.1.1.post0", kind="sdist", file="pillow_simd-12.1.1.post0.tar.gz"),
        samples.package("clip", "1.0", kind="sdist", file="clip.tar.gz", index="", git="git@git.example.org:team/clip",
                        ref="main", commit="c" * 40, needed_by=("six",)),
    )  # fmt: skip
    lock = samples.lock()
    return lock.model_copy(update={"packages": (*lock.packages, *more)})


def test_an_sbom_that_the_tools_of_spdx_take(tmp_path: Path) -> None:
    lock = many_kinds()
    made = record(lock, built={"pillow_simd-12.1.1.post0-cp311-cp311-linux_x86_64.whl": "b" * 64})
    paper = sbom.paper(lock, made, FOUND, DIGEST)
    assert paper == sbom.paper(lock, made, FOUND, DIGEST), "the same image has the same document"
    (tmp_path / "a.spdx.json").write_bytes(paper.content)
    read = parse_file(str(tmp_path / "a.spdx.json"))
    assert validate_full_spdx_document(read) == []
    rows = {row["name"]: row for row in json.loads(paper.content)["packages"]}
    assert len(rows) == 2 + 5 + 2 and rows["six"]["checksums"][0]["checksumValue"] == lock.packages[0].sha256
    assert "b" * 64 in rows["pillow-simd"]["sourceInfo"] and "checksums" not in rows["pillow"]
    assert rows["clip"]["downloadLocation"] == f"git+ssh://git.example.org/team/clip@{'c' * 40}"
    assert rows["libstdc++6"]["externalRefs"][0]["referenceLocator"] == (
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"
    )
    assert rows["libstdc++6"]["sourceInfo"] == "built package from: gcc-12 12.2.0-14"
    assert (rows["debian"]["versionInfo"], rows["debian"]["SPDXID"]) == ("12", "SPDXRef-OperatingSystem")
    assert list(sbom.by_license(json.loads(paper.content)))[:2] == ["LicenseRef-NVIDIA-Proprietary", "NOASSERTION"]


def test_provenance_has_every_file_by_hash() -> None:
    lock = many_kinds()
    said = provenance.statement(lock, record(lock), DIGEST)
    assert said["subject"][0]["digest"] == {"sha256": "1" * 64} and said["_type"] == provenance.STATEMENT
    rows = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    hashes = {row["digest"]["sha256"] for row in rows if "digest" in row}
    files = {package.sha256 for package in lock.packages if package.kind != "standin"}
    assert hashes == files | {tool.hashes[0] for tool in lock.tools}
    assert any(row.get("annotations") == {"commit": "c" * 40} for row in rows)
    on_image = lock.resolution.model_copy(
        update={
            "base": lock.resolution.base.model_copy(
                update={"kind": "image", "name": "nvidia/cuda:12", "digest": DIGEST}
            )
        }
    )
    based = lock.model_copy(update={"resolution": on_image})
    (first, *_) = provenance.statement(based, record(based), DIGEST)["predicate"]["buildDefinition"][
        "resolvedDependencies"
    ]
    assert first == {"uri": "docker://nvidia/cuda:12", "name": "base", "digest": {"sha256": "1" * 64}}


STATUS = """Package: libstdc++6
Status: install ok installed
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+b1
Architecture: amd64
Description: GNU Standard C++ Library v3
 Source: nothing of this

Package: tzdata
Version: 2024b-0
Architecture: all

Package: half
"""


def test_the_source_of_a_distribution_package() -> None:
    assert contents.status(STATUS) == {
        "libstdc++6": Origin("amd64", "gcc-12", "12.2.0-14"), "tzdata": Origin("all", "tzdata", "2024b-0")
    }  # fmt: skip
    assert contents.status("") == contents.status("\0\n\n: \n") == {}


def test_what_an_engine_tells_of_licences() -> None:
    stdout = json.dumps(
        {
            "wheels": {"x": "Name: Big_Six\nLicense: MIT"},
            "rights": {"tini": "Format: x\nLicense: Expat\n"},
            "status": STATUS,
        }
    )
    found = contents.told(stdout)
    assert found.python == {"big-six": License("MIT")} and found.system == {"tini": License("MIT")}
    assert found.origins["tzdata"].architecture == "all"
    assert contents.told("Traceback ...") == Contents()


# --- in a registry


def verified(run: Run, reference: str, *more: str) -> tuple[int, dict[str, str]]:
    code, out, _ = run("verify", reference, "--json", *more)
    return code, {row["what"]: f"{row['status']} {row['text']}" for row in json.loads(out)}


def test_an_image_that_is_what_is_said_of_it(run: Run, there: Registry, tmp_path: Path) -> None:
    _, reference = pushed(tmp_path, there, lock=samples.lock())
    code, found = verified(run, reference)
    assert code == 0 and [text.split()[0] for text in found.values()] == ["PASS", "SKIP", *4 * ["PASS"], "SKIP"], found
    before = {name: dict(rows) for name, rows in there.manifests.items()}
    pushed(tmp_path, there, lock=samples.lock())
    assert there.manifests == before, "the same once more changes nothing"
    code, out, _ = run("sbom", reference)
    assert code == 0 and json.loads(out)["spdxVersion"] == "SPDX-2.3"
    code, out, _ = run("sbom", reference, "--licenses")
    assert code == 0 and out.splitlines()[0].split() == ["1", "LicenseRef-NVIDIA-Proprietary", "torch", "2.4.1"]


def test_what_is_wrong_is_named(run: Run, there: Registry, tmp_path: Path) -> None:
    lock = samples.lock()
    image, reference = pushed(tmp_path, there, lock=lock, proven="FAIL")
    code, found = verified(run, reference)
    assert code == 5 and found["proof"] == "FAIL static: a did not pass"
    del there.blobs["ml/pytorch"][f"sha256:{image.layers[0].layer.digest}"]
    code, found = verified(run, reference)
    assert code == 5 and found["bytes"].startswith("FAIL 1 blobs are not there")


@pytest.mark.parametrize("kind", [papers.KIND, sbom.KIND, provenance.KIND])
@pytest.mark.parametrize("content", [b"{}", b"[]", b"no json", b'{"packages": [7]}', b'{"record": {}}', b"[" * 50_000])
def test_what_others_attach_is_passed_over(
    run: Run, there: Registry, tmp_path: Path, kind: str, content: bytes
) -> None:
    image, reference = pushed(tmp_path, there, lock=samples.lock())
    referrers.attach(target(there), image.digest, kind, content, {})
    code, found = verified(run, reference)
    assert code == 0, found


def test_what_was_attached_first_by_others_is_passed_over(run: Run, there: Registry, tmp_path: Path) -> None:
    """Junk before the good documents, and documents about other contents beside them."""
    lock = samples.lock()
    told = {"profile": "tiny", "torch": "2.4.1", "cuda": "12.1", "lock": f"sha256:{lock.digest}"}
    made = labelled(tmp_path / "image", "one", told)
    push(made, Sending(target(there)), ["a"])
    row = {"SPDXID": sbom.IMAGE, "checksums": [{"checksumValue": made.digest[7:]}]}
    junk: list[object] = [
        {"packages": [7]}, {"packages": 5}, {"packages": [{**row, "checksums": [7]}]}, {"packages": [row, {"SPDXID": "x"}]},
        {"predicateType": provenance.PREDICATE, "subject": provenance.statement(lock, record(lock), made.digest)["subject"]},
        {"record": record(lock, made.id).model_dump(), "lock": {"resolution": {"os": ""}}}, [], 7, None,
    ]  # fmt: skip
    for kind in (papers.KIND, sbom.KIND, provenance.KIND):
        for one in junk[:-3] if kind == papers.KIND else junk:
            if kind != papers.KIND or "record" not in (one if isinstance(one, dict) else {}):
                referrers.attach(target(there), made.digest, kind, json.dumps(one).encode(), {})
        other = lock.model_copy(update={"packages": (samples.package("log4j", "1.0"), *lock.packages)})
    paper = sbom.paper(other, record(other, made.id), FOUND, made.digest)
    referrers.attach(target(there), made.digest, paper.kind, paper.content, paper.annotations)
    _, reference = pushed(tmp_path, there, lock=lock)
    code, found = verified(run, reference)
    assert code == 0, found
    code, out, _ = run("sbom", reference)
    assert code == 0 and "log4j" not in out
    assert run("sbom", reference, "--licenses")[0] == 0


@pytest.mark.parametrize("kind", [sbom.KIND, provenance.KIND])
def test_a_document_that_says_something_else(run: Run, there: Registry, tmp_path: Path, kind: str) -> None:
    """One package more, and everything else as it should be."""
    lock = samples.lock()
    told = {"profile": "tiny", "torch": "2.4.1", "cuda": "12.1", "lock": f"sha256:{lock.digest}"}
    made = labelled(tmp_path / "image", "one", told)
    repository = target(there)
    push(made, Sending(repository), ["2.4.1-cuda12.1-tiny", "2.9.1-cuda12.8-vision"])
    other = lock.model_copy(update={"packages": (samples.package("log4j", "1.0"), *lock.packages)})
    for paper in (
        papers.made_from(record(lock, made.id), lock),
        sbom.paper(other if kind == sbom.KIND else lock, record(lock, made.id), FOUND, made.digest),
        provenance.paper(other if kind == provenance.KIND else lock, record(lock, made.id), made.digest),
    ):  # fmt: skip
        referrers.attach(repository, made.digest, paper.kind, paper.content, paper.annotations)
    code, found = verified(run, f"{there.address}/ml/pytorch:2.4.1-cuda12.1-tiny")
    what = "sbom" if kind == sbom.KIND else "provenance"
    assert code == 5 and found[what] == "FAIL none is attached that says what lock and record say", found
    assert found["name"] == "PASS it is the image's own" and found["record"].startswith("PASS")
    code, found = verified(run, f"{there.address}/ml/pytorch:2.9.1-cuda12.8-vision")
    assert code == 5 and found["name"] == "FAIL it leads to an image of 2.4.1-cuda12.1-tiny"


def test_a_proof_of_a_time_to_come_is_none(run: Run, there: Registry, tmp_path: Path) -> None:
    image, reference = pushed(tmp_path, there, lock=samples.lock(), proven="FAIL")
    raw = reports.as_json(Report(image.id, (Check("a", "static", "PASS"),), 1.0, time="9999-01-01T00:00:00+00:00"))
    attached.send(target(there), image.digest, [Kept(raw, reports.from_json(raw))])
    code, found = verified(run, reference)
    assert code == 5 and found["proof"] == "FAIL static: a did not pass"


def test_an_image_of_somebody_else(run: Run, there: Registry, tmp_path: Path) -> None:
    push(labelled(tmp_path / "x", "x", {}), Sending(target(there)), ["a"])
    code, found = verified(run, f"{there.address}/ml/pytorch:a")
    assert code == 5 and found["record"].startswith("FAIL") and found["sbom"].startswith("FAIL")
    assert run("sbom", f"{there.address}/ml/pytorch:a")[0] == 2
    assert run("verify", f"{there.address}/ml/pytorch:missing")[0] == 2


def test_signatures_need_cosign(run: Run, there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, reference = pushed(tmp_path, there, lock=samples.lock())
    monkeypatch.setattr(cosign, "available", lambda: False)
    (tmp_path / "imagekit.toml").write_text('[sign]\npublic = "cosign.pub"\n')
    code, found = verified(run, reference)
    assert code == 0 and found["signature"] == "SKIP cosign is not installed"
    code, _, err = run("verify", reference, "--key", "cosign.pub")
    assert code == 4 and "cosign is not installed" in err, "who names a key wants an answer"
    (tmp_path / "imagekit.toml").write_text('[sign]\nkey = "cosign.key"\n')
    code, _, err = run("build", "tiny", "--engine", "compose", "--output", f"registry:{there.address}/ml/pytorch")
    assert code == 4 and "cosign is not installed" in err and "system" not in err, "before anything is built"


def test_a_document_of_another_image_is_none(there: Registry, tmp_path: Path) -> None:
    lock = samples.lock()
    image, _ = pushed(tmp_path, there, lock=lock)
    paper = sbom.paper(lock, record(lock), FOUND, DIGEST)
    referrers.attach(target(there), image.digest, paper.kind, replace(paper, content=paper.content).content, {})
    from imagekit.supply import verified as own

    place = references.parse(f"{there.address}/ml/pytorch")
    found = own.document(place, target(there), image.digest, the_site(None))
    assert found["packages"][0]["checksums"][0]["checksumValue"] == image.digest[7:]
