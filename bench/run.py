"""Measure, side by side in one run, and write bench/RESULTS.md: ratios, never promises of seconds.

    python bench/run.py [start] [build] [change] [size] [proof] [compose] [stored]      (all, when none is named)

`build` and `change` prune the whole build cache of the engine between runs: use an engine of your own.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import composing
import handwritten
import proof
import stored

from imagekit import scratch
from imagekit.lock.model import Lock, read

HERE = Path(__file__).parent
LOCK = HERE.parent / "profiles/locks/video-llm/2.4.1-cuda12.1-py311.json"
STARTS = 15
"""Runs of each command that only starts."""


def timed(call: list[str], **settings: object) -> tuple[float, int]:
    """(seconds, peak memory of the process itself in MB). The command must succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **settings)  # type: ignore[call-overload]
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(call[:4])} failed:\n{error.decode()[-3000:]}")
    return time.perf_counter() - started, usage.ru_maxrss // 1024


def start() -> list[str]:
    """Commands that only start, against an interpreter that does nothing; pairs, in turn."""
    # as an installed package has it; an editable one has none where PYTHONDONTWRITEBYTECODE is set
    compileall.compile_dir(HERE.parent / "imagekit", quiet=2)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "imagekit --help": ["imagekit", "--help"],
        "imagekit render video-llm": ["imagekit", "render", "video-llm"],
        "imagekit compat check": ["imagekit", "compat", "check", "--torch=2.9", "--gpu=V100", "--driver=535.183.01"],
        "imagekit explain video-llm": ["imagekit", "explain", "video-llm"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(STARTS + 1):
        for name, call in commands.items():
            took, _ = timed(call)
            if round_:
                seconds[name].append(took)
    none = seconds["python -c pass"]
    rows = ["| command | against `python -c pass`, median of pairs |", "|---|---|"]
    for name in list(commands)[1:]:
        ratio = statistics.median(a / b for a, b in zip(seconds[name], none, strict=True))
        rows.append(f"| `{name}` | {ratio:.1f}x |")
    return rows


def docker(folder: Path, name: str) -> list[str]:
    ca = os.environ.get("SSL_CERT_FILE", "")
    secret = [f"--secret=id=ca,src={ca}"] if ca else []
    return [
        "docker",
        "buildx",
        "build",
        "-q",
        "--load",
        "--provenance=false",
        f"--tag=imagekit-bench:{name}",
        *secret,
        str(folder),
    ]


def prune() -> None:
    """Forget everything built: BuildKit's cache, and imagekit's own wheels from source."""
    shutil.rmtree(scratch.cache() / "built", ignore_errors=True)
    subprocess.run(["docker", "builder", "prune", "-af"], check=True, capture_output=True)


def forget(name: str) -> None:
    subprocess.run(["docker", "rmi", "-f", name], check=False, capture_output=True)


def ours() -> tuple[float, int]:
    return timed(["imagekit", "build", "video-llm", "--no-test", "--frozen"])


def build(lock: Lock, folder: Path) -> list[str]:
    """Cold: nothing in the build cache, every wheel from the index. Then: nothing changed."""
    seconds: dict[str, float] = {}
    prune()
    forget_ours()
    seconds["imagekit"], memory = ours()
    again, _ = ours()
    forget_ours()
    for name, write in (("uv, one layer", handwritten.uv), ("pip, as in the articles", handwritten.pip)):
        prune()
        place = folder / name[:2]
        write(lock, place)
        seconds[name], _ = timed(docker(place, "cold"))
        forget("imagekit-bench:cold")
    mine = seconds["imagekit"]
    rows = ["| cold build of video-llm, no cache, wheels from the index | time against imagekit |", "|---|---|"]
    rows += [f"| {name} | {took / mine:.2f}x |" for name, took in seconds.items()]
    rows += ["", f"Nothing changed, built again: {again / mine:.3f}x of the cold build ({again:.1f} s here)."]
    return [*rows, f"Peak memory of imagekit itself: {memory} MB."]


def forget_ours() -> None:
    listed = subprocess.run(
        ["docker", "images", "-q", "--filter", "label=io.imagekit.profile=video-llm"],
        capture_output=True,
        text=True,
        check=True,
    )
    for image in set(listed.stdout.split()):
        forget(image)


def change(lock: Lock, folder: Path) -> list[str]:
    """One small package more (a pure-Python wheel): both warm, both with everything else in their caches."""
    prune()
    forget_ours()
    ours()
    # resolving and locking are part of it
    shutil.rmtree("locks/video-llm", ignore_errors=True)
    took, _ = timed(["imagekit", "build", "video-llm", "--no-test", "--with", "toolz"])
    forget_ours()
    prune()
    place = folder / "change"
    handwritten.uv(lock, place)
    timed(docker(place, "warm"))
    path = place / "requirements.txt"
    path.write_text(path.read_text() + "toolz\n")
    other, _ = timed(docker(place, "warm"))
    forget("imagekit-bench:warm")
    rows = ["| one small package changed, warm cache | time against imagekit |", "|---|---|", "| imagekit | 1.00x |"]
    return [*rows, f"| uv, one layer with a cache mount | {other / took:.2f}x |"]


SIZES = r"""
import os, json
def size(top, want):
    return sum(os.lstat(os.path.join(d, f)).st_size for d, _, fs in os.walk(top) for f in fs if want(f, d))
lib = '/opt/venv'
pyc = lambda f, d: f.endswith('.pyc')
print(json.dumps({'code': size(lib, lambda f, d: not pyc(f, d)), 'pyc': size(lib, pyc)}))
"""


def size() -> list[str]:
    """The image against what must be in it: unpacked wheels, bytecode, the system layers."""
    import json

    image = "pytorch:2.4.1-cuda12.1-video-llm"
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        ours()
    run = ["docker", "run", "--rm", "-e", "IMAGEKIT_PREFLIGHT=off", image, "python", "-c", SIZES]
    inside = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    history = subprocess.run(
        ["docker", "history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    layers = [(int(line.split("\t")[0]), line.split("\t")[1]) for line in history.stdout.splitlines()]
    total = sum(size for size, _ in layers)
    system = sum(size for size, by in layers if "/layer/" not in by and "rootfs" not in by)
    must = inside["code"] + inside["pyc"] + system
    rows = ["| part | GB |", "|---|---|", f"| system layers | {system / 1e9:.2f} |"]
    rows += [f"| packages | {inside['code'] / 1e9:.2f} |", f"| bytecode | {inside['pyc'] / 1e9:.2f} |"]
    return [*rows, f"| image | {total / 1e9:.2f} ({total / must:.3f}x of the sum) |"]


def _sections() -> dict[str, str]:
    """What RESULTS.md has already, by title: a part that is not measured now stays as it was."""
    text = (HERE / "RESULTS.md").read_text()
    return {
        title: body.rstrip("\n") + "\n"
        for title, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure, and write RESULTS.md.")
    parts = {
        "start": "Starting",
        "build": "Building",
        "change": "One package changed",
        "size": "Size",
        "proof": "Proof",
        "compose": "Without an engine",
        "stored": "In a registry",
    }
    parser.add_argument("part", nargs="*", help=f"what to measure, of {', '.join(parts)}; all where none is named")
    wanted = parser.parse_args().part or list(parts)
    if set(wanted) - set(parts):
        parser.error(f"there is no {', '.join(sorted(set(wanted) - set(parts)))}")
    lock = read(LOCK)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out))
    try:
        measures: dict[str, Callable[[], list[str]]] = {
            "start": start, "build": lambda: build(lock, folder), "change": lambda: change(lock, folder), "size": size,
            "proof": proof.proof, "compose": lambda: composing.composing(lock, folder, docker),
            "stored": lambda: stored.stored(folder, docker),
        }  # fmt: skip
        sections = _sections()
        for name in wanted:
            sections[parts[name]] = "\n".join(["", *measures[name](), "", f"Measured {date.today()}."]) + "\n"
            print(sections[parts[name]], flush=True)
            _write(parts.values(), sections)
    finally:
        shutil.rmtree(folder)


def _write(titles: Iterable[str], sections: Mapping[str, str]) -> None:
    """After each part: the next one may fail, and one takes an hour."""
    text = "\n".join(f"## {title}\n{sections[title]}" for title in titles if title in sections)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    head = f"# Measured\n\nWritten by `make bench`; {machine}. Ratios are of commands run in turn on one machine.\n\n"
    (HERE / "RESULTS.md").write_text(head + text)


if __name__ == "__main__":
    main()
