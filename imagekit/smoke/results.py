"""What a result depends on, as a digest, and results of earlier runs that hold for this image too.

A key is made of the check's code, the locked files of the distributions that it covers and of all that those need, what
the image is besides (`IMAGEKIT_SCOPE`, from outside, and its own description of itself), and the kind of machine. It is
sound only while the installed files are the locked ones: so nothing is taken over unless the static checks of this very
run say that.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import gpu
from .check import ALL, Check, Figures, Image, canonical

FORMAT = 1
"""Part of every key: raised when the same inputs are to be judged anew."""

WITNESSES = ("versions", "installed-files")
"""The static checks that say that the installed files are the locked ones."""

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Known:
    """A check that passed before."""

    proven: str
    """ISO date."""
    figures: Figures = field(default_factory=dict)


def environment(image: Image) -> dict[str, Any]:
    """Where this run happens, for the report."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        **machine(),
        "kernel": platform.release(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory,
        "uid": os.getuid(),
        "python": platform.python_version(),
        "torch": image.lock.get("torch") or "",
        "checks": code_digest(HERE.rglob("*.py"), (image.root / "checks").rglob("*.py")),
    }


def machine() -> dict[str, Any]:
    """The kind of machine, as far as results depend on it."""
    found = gpu.here()
    return {"cpu": _cpu(), "gpus": list(found.names), "driver": found.driver}


def _cpu() -> str:
    """As the kernel names it; the architecture where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)  # the first processor's lines win
    words = {key.strip(): value.strip() for key, value in told.items()}
    arm = " ".join(words[key] for key in ("CPU implementer", "CPU part") if key in words)
    return words.get("model name") or f"{platform.machine()} {arm}".strip()


def code_digest(*groups: Iterable[Path]) -> str:
    """Of files by name and content."""
    total = hashlib.sha256()
    for group in groups:
        for path in sorted(path for path in group if "__pycache__" not in path.parts):
            total.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def keys(checks: Iterable[Check], image: Image) -> dict[str, str]:
    """The key of each check; empty where a result holds for this run only."""
    scope, image_id = os.environ.get("IMAGEKIT_SCOPE", ""), os.environ.get("IMAGEKIT_IMAGE", "")
    if not scope or not image.locked or image.model or image.clip:
        return {}
    who = [os.getuid(), sorted(os.getgroups())]
    names = sorted(package.name for package in image.packages)  # libraries look for others and change what they do
    around = [FORMAT, scope, sys.version, machine(), who, names, _itself(image)]
    common, closures = _common(), _closures(image)
    found = {}
    for check in checks:
        files = sorted({row for name in covered(check, image) for row in closures[name]})
        code = [common, *(_sha256(path) for path in _code(check, image))]
        # what covers no distribution looks at the image as a whole
        whole = image_id if check.stage == "static" or not check.covers else ""
        text = json.dumps([around, check.name, code, files, whole], sort_keys=True, default=str)
        found[check.name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def known() -> dict[str, Known]:
    """Earlier results by key, as the runner has put them here."""
    path = os.environ.get("IMAGEKIT_KNOWN")
    if not path or not Path(path).is_file():
        return {}
    rows: Mapping[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return {key: Known(str(row["proven"]), dict(row.get("figures") or {})) for key, row in rows.items()}


def covered(check: Check, image: Image) -> tuple[str, ...]:
    """The distributions of the image that a check covers."""
    names = tuple(package.name for package in image.packages)
    return names if ALL in check.covers else tuple(name for name in check.covers if name in names)


def _closures(image: Image) -> dict[str, frozenset[str]]:
    """Each locked distribution -> the files of it and of all that it needs: sha256 of the locked, of the built."""
    rows = {row["name"]: row for row in image.lock["packages"]}
    needs: dict[str, set[str]] = {name: set() for name in rows}
    for name, row in rows.items():
        for parent in row.get("needed_by") or ():
            if parent in needs:
                needs[parent].add(name)
    own = {name: [row.get("sha256", ""), *_built(image, name)] for name, row in rows.items()}
    found = {}
    for name in rows:
        reached, waiting = {name}, [name]
        while waiting:
            more = needs[waiting.pop()] - reached
            reached |= more
            waiting += more
        found[name] = frozenset(text for one in reached for text in own[one])
    return found


def _built(image: Image, name: str) -> list[str]:
    """What a source build gave, in this image: the lock knows its source only."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((image.root / "record").glob("built-*.txt"))]
    lines = [line for text in texts for line in text.splitlines() if "  " in line]
    return [line for line in lines if canonical(line.split("  ")[1].split("-")[0]) == name]


def _itself(image: Image) -> list[str]:
    """What the image says of itself, its system packages, its configuration, and the GPUs that it must run on."""
    system = image.root / "record" / "system.txt"
    packages = system.read_text(encoding="utf-8") if system.is_file() else ""
    given = [os.environ.get(f"IMAGEKIT_{name}", "") for name in ("IMAGE_ENV", "IMAGE_USER", "TARGETS")]
    return [json.dumps(image.facts, sort_keys=True), packages, *given]


def _common() -> list[str]:
    return [_sha256(path) for path in sorted(HERE.glob("*.py"))]


def _code(check: Check, image: Image) -> list[Path]:
    """The file of a check and the files of checks that it imports; an own check: all files of its owner."""
    module = check.run.__module__.rpartition(".")[2]
    path = HERE / "checks" / f"{module}.py"
    if "/" in check.name or not path.is_file():
        return sorted((image.root / "checks").rglob("*.py"))
    reached, waiting = {path}, [path]
    while waiting:
        more = set(_imports(waiting.pop())) - reached
        reached |= more
        waiting += more
    return sorted(reached)


def _imports(path: Path) -> list[Path]:
    """Other checks that a file of a check imports: `from . import x`, `from .x import y`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names += [node.module.partition(".")[0]] if node.module else [alias.name for alias in node.names]
    return [file for name in names if (file := path.parent / f"{name}.py").is_file()]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
