"""A file of a package that was edited, damaged or lost after the build: the version is right, the behaviour is not, and
no other machine shows it."""

from __future__ import annotations

from .. import records
from ..check import ALL, Check, Failure, Figures, Image, installed
from . import overlapping_files

CODE = (".py", ".so")
"""What runs: of such a file RECORD must have a hash."""


def run(image: Image) -> Figures:
    counted, bad = 0, list[str]()
    shared = {path for path, owners in overlapping_files.owners().items() if overlapping_files.differ(owners)}
    for package in image.packages:
        found = installed(package.name)
        if found is None:
            continue  # what is not installed is told by the check `versions`
        every = records.of(found)
        if not every:
            bad.append(f"{package.name} has no RECORD")
        bad += [f"{entry.name} has no hash" for entry in every if entry.name.endswith(CODE) and not entry.digest]
        wanted = [entry for entry in records.hashed(found) if entry.name not in shared]
        counted += len(wanted)
        bad += [f"{name} {problem}" for name, problem in records.altered(wanted)]
    if bad:
        raise Failure(
            found="; ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else ""),
            expected="every file is as its wheel had it, by the SHA-256 in RECORD",
            because="an edit, a patch in a later layer, another installation over it, or a damaged layer",
            fix="build the image again from its lock; a patched package is one of its own, with a version of its own",
        )
    return {"files": counted}


CHECK = Check("installed-files", "static", run, covers=(ALL,), limit=180, needs=("lock",))
