"""What a check is, what it is told about the image, and how it says no."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

Figures = dict[str, Any]

STAGES = ("static", "cpu", "deep", "gpu", "multi-gpu")
"""In the order in which they run: `static` runs no code of the stack but its imports, `deep` takes minutes."""

USUAL = ("static", "cpu", "gpu", "multi-gpu")
"""What runs unless stages are named; `deep` is for the night."""

ALL = "*"
"""In `covers`: the check looks at every locked distribution."""


class Failure(Exception):
    """The image is not what it claims to be; each field is one line of the report."""

    def __init__(self, *, found: str, expected: str, because: str = "", fix: str = "", on_gpu: str = "") -> None:
        super().__init__(found)
        self.found, self.expected, self.because, self.fix, self.on_gpu = found, expected, because, fix, on_gpu


class Skip(Exception):
    """The check cannot run here; the reason says what is missing here, not in the image."""


def canonical(name: str) -> str:
    """The normalised form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Package:
    """One locked distribution."""

    name: str
    version: str
    """Public version: an installed local one (2.4.1+cu121) matches it."""
    group: str
    standin: bool


@dataclass(frozen=True)
class Image:
    """What the image says of itself: /opt/imagekit/lock.json and image.json, read once."""

    lock: dict[str, Any]
    facts: dict[str, Any]
    root: Path = Path("/opt/imagekit")
    venv: Path = Path("/opt/venv")
    packages: tuple[Package, ...] = field(default=())
    locked: bool = True
    """Whether imagekit built it, so that there is a lock to compare with. False: `packages` is what is installed."""
    model: Path | None = None
    """A user's own weights (`--model`), a folder that transformers can load."""
    clip: Path | None = None
    """A user's own video (`--clip`)."""

    @classmethod
    def load(cls, root: Path, venv: Path) -> Image:
        lock = json.loads((root / "lock.json").read_text(encoding="utf-8"))
        facts = json.loads((root / "image.json").read_text(encoding="utf-8"))
        packages = tuple(
            Package(canonical(row["name"]), row["version"], row.get("group", "rest"), bool(row.get("standin")))
            for row in lock["packages"]
        )
        return cls(lock, facts, root, venv, packages)

    @classmethod
    def here(cls) -> Image:
        """What the current interpreter has, where imagekit built nothing: no lock, and no claims but what is found."""
        found = {canonical(d.metadata["Name"]): d.version for d in metadata.distributions() if d.metadata["Name"]}
        packages = tuple(Package(name, version, "rest", False) for name, version in sorted(found.items()))
        torch = _version_of_torch()
        readers = [name for name, needs in READERS if any(need in found for need in needs)]
        makes_clips = shutil.which("ffmpeg") or "av" in found
        facts = {
            "cuda": torch.get("cuda"), "python": ".".join(map(str, sys.version_info[:2])),
            "expects": {"read": {"h264": readers}} if readers and makes_clips else {},
        }  # fmt: skip
        lock = {"torch": torch.get("__version__") or "", "packages": [{"name": n} for n in sorted(found)]}
        return cls(lock, facts, Path("/nonexistent"), Path(sys.prefix), packages, locked=False)

    @property
    def site(self) -> Path:
        if not self.locked:
            return Path(sysconfig.get_paths()["platlib"])
        return self.venv / "lib" / "python" / "site-packages"

    @property
    def cuda(self) -> str | None:
        return self.facts.get("cuda")

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.facts.get("features") or ())

    @property
    def expects(self) -> dict[str, Any]:
        return self.facts.get("expects") or {}

    @property
    def real_torch(self) -> bool:
        return self.has("torch") and not self.facts.get("standin_torch")

    def has(self, name: str) -> bool:
        return any(package.name == name for package in self.packages)

    def system(self) -> tuple[str, ...]:
        """Names of the distribution's packages in the build's record."""
        record = self.root / "record" / "system.txt"
        if not record.is_file():
            return ()
        lines = record.read_text(encoding="utf-8").splitlines()
        return tuple(line.split("=")[0].split(":")[0].strip() for line in lines if "=" in line)

    def environment(self) -> dict[str, str]:
        """The variables that the image sets, as its configuration has them when the runner passed that on.

        Engines add variables of their own when a container starts (a GPU request sets NVIDIA_VISIBLE_DEVICES), so what
        is seen inside is only the second best answer.
        """
        passed = os.environ.get("IMAGEKIT_IMAGE_ENV")
        if passed is None:
            return dict(os.environ)
        return dict(entry.split("=", 1) for entry in json.loads(passed) if "=" in entry)


READERS = (
    ("av", ("av",)),
    ("opencv", ("opencv-python-headless", "opencv-python")),
    ("decord", ("decord",)),
    ("torchcodec", ("torchcodec",)),
)
"""Readers of videos, and the distributions of which one is enough."""


def _version_of_torch() -> dict[str, Any]:
    """torch/version.py without importing torch: __version__, cuda; empty where there is no torch."""
    spec = util.find_spec("torch")
    path = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    return runpy.run_path(str(path)) if path and path.is_file() else {}


def always(image: Image) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """One thing a user relies on."""

    name: str
    stage: str
    run: Callable[[Image], Figures]
    covers: tuple[str, ...] = ()
    """Distributions whose change makes an old result worthless; their requirements are the reader's business."""
    applies: Callable[[Image], bool] = always
    """Whether the image claims this at all. A check that does not apply is left out of the report."""
    limit: float = 60.0
    """Seconds after which it is killed."""
    needs: tuple[str, ...] = ()
    """What must be there besides what its stage needs, names in needs.py; without it the check is skipped."""
    about: str = ""
    """What a user would suffer; for the documentation. The first line of the file's docstring."""


def installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def import_torch() -> Any:
    """torch, or a Failure that says why there is none to ask."""
    try:
        return import_module("torch")
    except Exception as error:  # a broken torch raises anything: ImportError, OSError, RuntimeError
        raise Failure(
            found=shorten(f"import torch: {type(error).__name__}: {error}"),
            expected="torch imports",
            because="the checks imports and cuda-libraries say what is missing",
        ) from error


def local_files(distribution: metadata.Distribution) -> list[str]:
    """The files of a distribution below site-packages, without scripts and without its own metadata."""
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    files = [row[0] for row in rows if row] or [str(path) for path in distribution.files or ()]
    return [name for name in files if not name.startswith(("..", "/")) and ".dist-info/" not in name]


def progress(what: str) -> None:
    """Leave a note for the report should this process die now: a crash has no traceback."""
    path = os.environ.get("IMAGEKIT_CHECK_NOTE")
    if path:
        Path(path).write_text(what, encoding="utf-8", errors="replace")


def shorten(text: str, limit: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def warn(text: str) -> None:
    print(f"smoke: {text}", file=sys.stderr, flush=True)
