"""Known vulnerabilities: what counts, what is allowed and until when, and a scanner that is not there or fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
import samples
import trivy_double
from registry_double import Registry
from supplied import FOUND, pushed

from imagekit.errors import UsageError
from imagekit.nightly import scanned
from imagekit.pipeline import the_site
from imagekit.supply import allowed, scan
from imagekit.supply.allowed import Allowed
from imagekit.supply.contents import Contents
from imagekit.supply.scan import Vulnerability

Run = Callable[..., tuple[int, str, str]]
TODAY = date(2026, 11, 22)

GCC = {"VulnerabilityID": "CVE-2026-1", "Severity": "CRITICAL", "FixedVersion": "12.2.0-15", "Title": "heap\x1b[2J"}
SIX = {"VulnerabilityID": "GHSA-abcd-1", "Severity": "HIGH", "FixedVersion": ""}
ODD = {"VulnerabilityID": "CVE-2026-3", "Severity": "WORSE"}
DATABASE = {"gcc-12": [GCC], "six": [SIX, ODD]}


def entry(identifier: str, days: int = 10, **more: object) -> Allowed:
    return Allowed(id=identifier, reason="not reachable", until=TODAY + timedelta(days=days), **more)  # type: ignore[arg-type]


def one(identifier: str, severity: str, fixed: str = "2", package: str = "zlib1g") -> Vulnerability:
    return Vulnerability(identifier, package, "1", severity, fixed)


ALL = (
    one("CVE-1", "critical"),
    one("CVE-2", "critical", ""),
    one("CVE-3", "high"),
    one("CVE-3", "high", package="six"),
)


@pytest.mark.parametrize(
    ("fail", "unfixed", "counts"),
    [
        ("critical", False, ["CVE-1"]),
        ("critical", True, ["CVE-1", "CVE-2"]),
        ("high", False, ["CVE-1", "CVE-3", "CVE-3"]),
        ("", True, []),
    ],
)
def test_what_counts(fail: str, unfixed: bool, counts: list[str]) -> None:
    assert [found.id for found in scan.judged(ALL, (), TODAY, fail, unfixed).counts] == counts


def test_an_entry_allows_until_its_day() -> None:
    entries = (
        entry("cve-1", days=0), entry("CVE-3", packages=("six",)), entry("CVE-2", days=-1), entry("CVE-9"),
    )  # fmt: skip
    done = scan.judged(ALL, entries, TODAY, "high", True)
    assert [(found.id, found.package) for found in done.counts] == [("CVE-2", "zlib1g"), ("CVE-3", "zlib1g")]
    assert [found.id for found, _ in done.allowed] == ["CVE-1", "CVE-3"]
    assert [by.id for by in done.expired] == ["CVE-2"] and [by.id for by in done.unused] == ["CVE-9"]
    assert done.numbers == {"critical": 2, "high": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("allow:\n- id: CVE-1-2\n  reason: x\n", "a.yaml:2: allow.0.until: Field required"),
        ("allow:\n- id: CVE-1-2\n  until: 2027-01-01\n", "a.yaml:2: allow.0.reason: Field required"),
        ("allow:\n- id: CVE-1-2\n  reason: ' '\n  until: 2027-01-01\n", "a.yaml:3: allow.0.reason: "),
        ("allow:\n- id: all of them\n  reason: x\n  until: 2027-01-01\n", "a.yaml:2: allow.0.id: "),
        ("allow:\n- id: CVE-1-2\n  reason: x\n  until: for ever\n", "a.yaml:4: allow.0.until: "),
        ("allow:\n- id: CVE-1-2\n  reason: x\n  until: 2027-01-01 10:00:00\n", "a.yaml:4: allow.0.until: "),
        ("allow:\n- id: CVE-1-2\n  reason: x\n  until: 2027-13-01\n", "a.yaml"),
        (
            "allow:\n- id: CVE-1-2\n  reason: x\n  until: 2027-01-01\n  package: six\n",
            "a.yaml:5: allow.0.package: unknown key",
        ),
        ("allow: [3]\n", "a.yaml:1: allow.0: "),
        ("allow:\n- &a {id: CVE-1-2, reason: x, until: 2027-01-01}\n- *a\n", "CVE-1-2 is there twice"),
        ("ignore: []\n", "a.yaml:1: ignore: unknown key"),
        ("1: x\n", "a.yaml:1: 1: Keys should be strings"),
        ("", "a.yaml is empty"),
    ],
)
def test_an_allowlist_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        allowed.read(tmp_path / "a.yaml")
    assert said in str(raised.value), raised.value


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"SchemaVersion": 1}', '{"SchemaVersion": 2, "Results": [3]}', "[" * 100_000]
)
def test_a_report_that_cannot_be_read(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, RecursionError)):
        scan.read(json.loads(text))


def test_an_image_of_a_registry(run: Run, there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, reference = pushed(tmp_path, there, lock=samples.lock())
    for name, value in trivy_double.installed(tmp_path / "bin", DATABASE).items():
        monkeypatch.setenv(name, value)
    code, out, said = run("scan", reference)
    assert code == 5 and out.startswith(f"{there.address}/ml/pytorch@sha256:"), said
    assert "CVE-2026-1           libstdc++6 12.2.0-14, 12.2.0-15  heap" in said and "\x1b[2J" not in said
    assert "found    1 critical, 1 high, 1 unknown; 1 count, 0 are allowed" in said
    assert "GHSA" not in said, "what does not count is in the numbers and in --json"
    code, out, _ = run("scan", reference, "--fail", "high", "--unfixed", "--json")
    assert code == 5 and json.loads(out)["counts"] == ["CVE-2026-1", "GHSA-abcd-1"]
    assert run("scan", reference, "--fail", "never")[0] == 0
    (tmp_path / "vulnerabilities.yaml").write_text(
        "allow:\n- {id: CVE-2026-1, packages: [libstdc++6], reason: no C++ of strangers, until: 2999-01-01}\n"
        "- {id: CVE-2020-1, reason: x, until: 2020-01-01}\n- {id: CVE-2020-2, reason: x, until: 2999-01-01}\n"
    )
    (tmp_path / "imagekit.toml").write_text('[scan]\nallow = "vulnerabilities.yaml"\n')
    code, _, said = run("scan", reference)
    assert code == 0 and "until 2999-01-01: no C++ of strangers" in said
    assert "expired  CVE-2020-1" in said and "unused   CVE-2020-2" in said


def test_an_sbom_by_which_nothing_can_be_found_is_no_good_news(
    run: Run, there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in trivy_double.installed(tmp_path / "bin", DATABASE).items():
        monkeypatch.setenv(name, value)
    _, reference = pushed(tmp_path, there, lock=samples.lock(), found=Contents(FOUND.python, FOUND.system))
    code, _, said = run("scan", reference)
    assert code == 4 and "does not say what a scanner needs to know: libstdc++6, tini" in said, said
    with pytest.raises(ValueError, match="the distribution was not found"):
        scan.read({"SchemaVersion": 2, "Metadata": {"OS": {"Family": ""}}, "Results": []})


def test_an_sbom_that_nobody_has_signed(
    run: Run, there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, reference = pushed(tmp_path, there, lock=samples.lock())
    (tmp_path / "cosign.pub").write_text("a key")
    (tmp_path / "imagekit.toml").write_text('[sign]\npublic = "cosign.pub"\n')
    for name, value in trivy_double.installed(tmp_path / "bin", DATABASE).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("imagekit.oci.cosign.available", lambda: True)
    monkeypatch.setattr("imagekit.oci.cosign.trouble", lambda *_: "no signature")
    code, _, said = run("scan", reference)
    assert code == 2 and "has no SBOM that is signed" in said, said
    monkeypatch.setattr("imagekit.oci.cosign.available", lambda: False)
    code, _, said = run("scan", reference)
    assert code == 4 and "cosign is not installed" in said, said


def test_a_scanner_that_is_not_there_or_fails(
    run: Run, there: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, reference = pushed(tmp_path, there, lock=samples.lock())
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        code, _, said = run("scan", reference)
        assert code == 4 and "is not installed" in said
        assert "trivy is not installed" in scanned.trouble(the_site(None))
    for name, value in trivy_double.installed(tmp_path / "bin", None).items():
        monkeypatch.setenv(name, value)
    code, _, said = run("scan", reference)
    assert code == 4 and "failed to download vulnerability DB" in said and str(tmp_path) not in said
    (tmp_path / "bin/trivy").write_text("#!/bin/sh\necho '{}'\n")
    code, _, said = run("scan", reference)
    assert code == 4 and "cannot be read" in said
    code, _, said = run("scan", f"{there.address}/ml/nothing:a")
    assert code == 2
    assert scanned.trouble(the_site(None)) == ""
    (tmp_path / "imagekit.toml").write_text('[scan]\nallow = "gone.yaml"\n')
    assert "gone.yaml cannot be read" in scanned.trouble(the_site(None))
