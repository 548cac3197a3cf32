"""A command `trivy` that answers as trivy's own golden files do (integration/testdata/*.json.golden, schema 2).

Its database is a JSON file: source package or package of Python -> rows of advisories. As trivy does, it takes the
distribution from the package OperatingSystem of the SBOM, and finds advisories by the source of a package.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAM = f"#!{sys.executable}\nimport sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import trivy_double; sys.exit(trivy_double.main())\n"


def installed(folder: Path, database: dict[str, Any] | None) -> dict[str, str]:
    """The environment in which it is found. No database: it fails as trivy does that cannot fetch one."""
    folder.mkdir(exist_ok=True)
    (folder / "trivy").write_text(PROGRAM)
    (folder / "trivy").chmod(0o755)
    if database is not None:
        (folder / "trivy.db.json").write_text(json.dumps(database))
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TRIVY_DOUBLE": str(folder / "trivy.db.json")}


def _source(row: dict[str, Any]) -> str:
    said = str(row.get("sourceInfo", "")).removeprefix("built package from: ")
    return said.partition(" ")[0] or str(row["name"])


def _found(row: dict[str, Any], advisory: dict[str, Any]) -> dict[str, Any]:
    return {"PkgName": row["name"], "InstalledVersion": row["versionInfo"], "Status": "affected", **advisory}


def main() -> int:
    assert sys.argv[1:2] == ["sbom"] and "--format" in sys.argv and list(Path().iterdir()) == [Path(sys.argv[-1])], (
        sys.argv
    )
    assert os.environ["TRIVY_DISABLE_TELEMETRY"] == "true"
    path = Path(os.environ["TRIVY_DOUBLE"])
    if not path.exists():
        print("FATAL\tFatal error\tinit error: DB error: failed to download vulnerability DB", file=sys.stderr)
        return 1
    database, sbom = json.loads(path.read_text()), json.loads(Path(sys.argv[-1]).read_text())
    rows = {row["SPDXID"]: row for row in sbom["packages"]}
    (os_id,) = (name for name in rows if name.startswith("SPDXRef-OperatingSystem"))
    system = [rows[r["relatedSpdxElement"]] for r in sbom["relationships"] if r["spdxElementId"] == os_id]
    python = [row for row in rows.values() if any(":pypi/" in ref["referenceLocator"] for ref in row["externalRefs"])]
    results = []
    for kind, packages, key in (("debian", system, _source), ("python-pkg", python, lambda row: row["name"])):
        found = [_found(row, advisory) for row in packages for advisory in database.get(key(row), ())]
        results.append({"Target": kind, "Type": kind, **({"Vulnerabilities": found} if found else {})})
    family = {"Family": rows[os_id]["name"], "Name": rows[os_id]["versionInfo"]}
    print(json.dumps({"SchemaVersion": 2, "ArtifactType": "spdx", "Metadata": {"OS": family}, "Results": results}))
    return 0
