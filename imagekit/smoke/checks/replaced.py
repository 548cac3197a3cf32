"""Plain pillow over pillow-simd: decoding and resizing become several times slower, in silence, after somebody's `pip
install`."""

from __future__ import annotations

import json
import subprocess
import sys

from .. import records
from ..check import Check, Failure, Figures, Image, canonical, installed, local_files


def run(image: Image) -> Figures:
    versions = {package.name: package.version for package in image.packages}
    as_pip_sees = _pip_list()
    figures: Figures = {}
    for standin, real in sorted((canonical(a), canonical(b)) for a, b in image.lock["replace"].items()):
        problem = _problem(standin, real, versions) or _disagreement(standin, real, versions, as_pip_sees)
        if problem:
            raise Failure(
                found=problem,
                expected=f"{standin} {versions.get(standin)} without files, files of {real} {versions.get(real)}",
                because=f"{standin} was installed over {real}",
                fix=f"require {real} instead of {standin}; never pip install --force-reinstall {standin}",
            )
        figures[standin] = f"{real} {versions[real]}"
    return figures


def _problem(standin: str, real: str, versions: dict[str, str]) -> str:
    """What is wrong with the files of one pair."""
    a, b = installed(standin), installed(real)
    if a is None or b is None:
        return f"{standin if a is None else real} is not installed"
    if a.version != versions[standin] or b.version != versions[real]:
        return f"{standin} {a.version}, {real} {b.version}"
    files = local_files(a)
    if files:
        return f"{standin} has {len(files)} files of its own, such as {files[0]}"
    changed = [name for name, _ in records.altered(records.hashed(b))]
    return f"{len(changed)} files of {real} were changed, such as {changed[0]}" if changed else ""


def _pip_list() -> dict[str, str] | None:
    """Versions by name as pip sees them; None where there is no pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None
    return {canonical(row["name"]): row["version"] for row in json.loads(done.stdout)}


def _disagreement(standin: str, real: str, versions: dict[str, str], seen: dict[str, str] | None) -> str:
    if seen is None:
        return ""
    wrong = [f"{name} {seen.get(name)}" for name in (standin, real) if seen.get(name) != versions[name]]
    return "pip sees " + ", ".join(wrong) if wrong else ""


CHECK = Check(
    "replaced",
    "static",
    run,
    covers=("pillow", "pillow-simd"),
    applies=lambda image: bool(image.lock.get("replace")),
)
