"""git that cannot commit or clone as a user without a passwd entry."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..check import Check, Failure, Figures, Image, shorten

WHO = {f"GIT_{role}_{field}": value for role in ("AUTHOR", "COMMITTER")
       for field, value in (("NAME", "proof"), ("EMAIL", "proof@localhost"))}  # fmt: skip


def run(image: Image) -> Figures:
    here = Path("repository").resolve()
    here.mkdir()
    (here / "file").write_text("one\n", encoding="utf-8")
    _git("init", "-q", "-b", "main", cwd=here)
    _git("add", "file", cwd=here)
    _git("commit", "-q", "-m", "one", cwd=here)
    _git("clone", "-q", str(here), "copy", cwd=here.parent)
    return {"git": _git("--version", cwd=here), "commit": _git("rev-parse", "HEAD", cwd=here.parent / "copy")[:12]}


def _git(*arguments: str, cwd: Path) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **WHO}
        )
    except FileNotFoundError:
        raise Failure(found="there is no git", expected="the feature dev installs it") from None
    if done.returncode:
        raise Failure(found=f"git {arguments[0]}: {shorten(done.stderr)}", expected="git init, commit and clone work")
    return done.stdout.strip()


CHECK = Check("git", "cpu", run, applies=lambda image: "dev" in image.features)
