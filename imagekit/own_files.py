"""The files of a profile and its overlays: read from their folders, placed in the image."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from imagekit import trust
from imagekit.contract import File
from imagekit.errors import UsageError
from imagekit.overlay import Overlay
from imagekit.profile import Profile
from imagekit.resolution import Resolution
from imagekit.smoke import own

PASSED_OVER = ("__pycache__", ".git")
"""Folders that are never meant."""


def of(profile: Profile) -> dict[str, File]:
    """Path in the image -> file. Raises UsageError that lists every problem."""
    found: dict[str, File] = {}
    problems: list[str] = []
    folder = Path(profile.folder or ".")
    _take(profile.name, folder, profile.files, found, problems)
    _checks(profile.name, folder, profile.checks, found, problems)
    for overlay in profile.overlays:
        name = Path(overlay.path).name
        _take(name, overlay.folder, overlay.files, found, problems)
        _checks(overlay.name, overlay.folder, overlay.checks, found, problems)
        _add(name, _rooted(overlay), found, problems)
    if problems:
        raise UsageError(f"the files of {profile.name} are wrong", details=problems)
    return found


def check(found: dict[str, File], resolution: Resolution) -> None:
    """Roots and keys are in the lock by their sha256; one that was taken as it is (--frozen) may know others.

    Raises UsageError.
    """
    wrong = []
    for name, digest in resolution.trust.items():
        file = found.get(f"/usr/local/share/ca-certificates/{name}")
        if file is None or trust.fingerprint(file.content) != digest:
            wrong.append(f"trust: {name} is another certificate than the lock's")
    for source in resolution.apt_sources:
        file = found.get(f"/etc/apt/keyrings/{source.key}")
        if file is None or hashlib.sha256(file.content).hexdigest() != source.sha256:
            wrong.append(f"apt_sources: {source.name}: the key is another one than the lock's")
    if wrong:
        raise UsageError("the overlay is not the one that was locked", details=wrong, hint="build without --frozen")


def _rooted(overlay: Overlay) -> dict[str, File]:
    """What has a place of its own: roots, keys of archives, the wrapper of the command."""
    files = {f"/usr/local/share/ca-certificates/{name}": File(pem) for name, pem in overlay.certificates().items()}
    for source in overlay.apt_sources:
        name, content = overlay.key(source)
        files[f"/etc/apt/keyrings/{name}"] = File(content)
    if overlay.start:
        content = (overlay.folder / overlay.start).read_bytes()
        files[f"/opt/imagekit/overlays/{overlay.name}/start"] = File(content, 0o755)
    return files


def _take(who: str, folder: Path, rows: dict[str, str], found: dict[str, File], problems: list[str]) -> None:
    """`files`: folders are taken whole, in sorted order."""
    for source, target in rows.items():
        path = folder / source
        if path.is_file():
            place = f"{target}{path.name}" if target.endswith("/") else target
            rows_here = {place: path}
        elif path.is_dir():
            top = target.rstrip("/")
            rows_here = {f"{top}/{file.relative_to(path).as_posix()}": file for file in _inside(path)}
        else:
            problems.append(f"{who}: files: {source}: there is no {path}")
            continue
        out = [file for file in [path, *rows_here.values()] if not _within(file, folder)]
        problems += [f"{who}: files: {file}: a link that leads out of its folder" for file in dict.fromkeys(out)]
        if not out:
            _add(f"{who}: files: {source}", {place: _file(file) for place, file in rows_here.items()}, found, problems)


def _checks(owner: str, folder: Path, sources: list[str], found: dict[str, File], problems: list[str]) -> None:
    """`checks`: files, or folders with what their files need beside them."""
    for source in sources:
        path, who = folder / source, f"{owner}: checks: {source}"
        files = {path.name: path} if path.is_file() else {p.relative_to(path).as_posix(): p for p in _inside(path)}
        programs = [file for file in files.values() if file.suffix == ".py" and not file.name.startswith("_")]
        if not programs:
            problems.append(f"{who}: there is no file of checks (name.py) at {path}")
        for file in files.values():
            if not _within(file, folder):
                problems.append(f"{who}: {file}: a link that leads out of its folder")
                return
        for file in programs:
            try:
                own.read(file.read_text(encoding="utf-8"))
            except ValueError as error:
                problems.append(f"{who}: {file.name}: {error}")
        rows = {f"/opt/imagekit/checks/{owner}/{name}": _file(file) for name, file in files.items()}
        _add(who, rows, found, problems)


def _add(who: str, rows: dict[str, File], found: dict[str, File], problems: list[str]) -> None:
    problems += [f"{who}: {place} is given twice" for place in rows if place in found and found[place] != rows[place]]
    found |= rows


def _inside(folder: Path) -> list[Path]:
    files = (p for p in folder.rglob("*") if not set(p.relative_to(folder).parts) & set(PASSED_OVER))
    return sorted(path for path in files if path.is_file())


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _file(path: Path) -> File:
    return File(path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
