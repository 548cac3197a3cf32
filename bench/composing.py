"""Into a registry and into an engine: the compose engine against what a careful person writes by hand with uv.

The registry is Debian's, plain, on this machine. "Wheels cached": in imagekit's store and in uv's cache mount before
the clock starts, layers in neither. Locks and requirements are made before: resolving is not in any of the times.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import handwritten
import registries

from imagekit import scratch
from imagekit.lock.model import Lock

UV, GROUPS, OURS = "uv, one layer", "uv, three `COPY --link` groups", "compose"
CACHED, COLD, CHANGED, ENGINE, AGAIN = (
    "to a registry, wheels cached", "to a registry, nothing cached", "one small package changed, to a registry",
    "the same, into an engine", "nothing changed",
)  # fmt: skip
BUILD = ["imagekit", "build", "video-llm", "--no-test", "--engine", "compose", "--output"]
BEFORE, AFTER = ("--with", "toolz==0.12.0"), ("--with", "toolz==1.0.0")

Docker = Callable[[Path, str], list[str]]
"""(folder, name) -> the command that builds a Dockerfile as imagekit-bench:name."""


def composing(lock: Lock, folder: Path, docker: Docker) -> list[str]:
    run(["imagekit", "base", "bootstrap", "--suite", lock.resolution.base.name])  # what the Dockerfiles stand on
    took = {
        UV: _by_hand(handwritten.uv, lock, folder / "uv", docker),
        GROUPS: _by_hand(handwritten.groups, lock, folder / "groups", docker),
    }
    took[OURS], second = _ours(folder)
    rows = ["| video-llm | " + " | ".join(took) + " |", "|---|" + "---|" * len(took)]
    for work in (CACHED, COLD, CHANGED, ENGINE, AGAIN):
        mine = took[OURS][work]
        others = [f"{took[name][work] / mine:.1f}x ({took[name][work]:.1f} s)" for name in (UV, GROUPS)]
        rows.append(f"| {work} | {' | '.join(others)} | {mine:.1f} s |")
    return [*rows, "", "Times against compose; seconds are those of this machine.", "", *second, "", conversion()]


def _ours(folder: Path) -> tuple[dict[str, float], list[str]]:
    found = {}
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # nobody's wheels are thrown away
    with registries.served(folder / "cold") as host:
        found[COLD] = run([*BUILD, f"registry:{host}/pytorch"])
    shutil.rmtree(folder / "cold")
    # locked before, and their wheels fetched: both versions of the package that changes
    for version in (BEFORE, AFTER):
        run([*BUILD, f"oci:{folder / 'oci'}", *version])
    shutil.rmtree(folder / "oci")
    forget_layers()
    with registries.served(folder / "ours") as host:
        target = f"registry:{host}/pytorch"
        found[CACHED] = run([*BUILD, target])
        found[AGAIN] = run([*BUILD, target])
        run([*BUILD, target, *BEFORE])
        before, kept = sizes(folder / "ours"), {path.name for path in (scratch.cache() / "layers/blobs").glob("*")}
        found[CHANGED] = run([*BUILD, target, *AFTER])
        change = sizes(folder / "ours") - before
        run([*BUILD, "engine", *BEFORE])
        for name in {path.name for path in (scratch.cache() / "layers/blobs").glob("*")} - kept:
            (scratch.cache() / "layers/blobs" / name).unlink()  # what the change made is made again
        found[ENGINE] = run([*BUILD, "engine", *AFTER])
        second = _second(folder / "ours", target)
    images = subprocess.run(
        ["docker", "images", "-q", "--filter", "label=io.imagekit.profile=video-llm"], capture_output=True, text=True,
        check=True,
    ).stdout.split()  # fmt: skip
    subprocess.run(["docker", "rmi", "-f", *set(images)], capture_output=True, check=False)
    return found, [f"The change sent {change / 1e6:.2f} MB.", *second]


def _second(registry: Path, target: str) -> list[str]:
    """Another profile of the same torch, where video-llm is in the registry and its layers are kept."""
    known = {path.name for path in (scratch.cache() / "layers/blobs").glob("*")}
    before, call = sizes(registry), ["vision" if part == "video-llm" else part for part in BUILD]
    run([*call, target, "--torch", "2.4.1"])
    made = [path for path in (scratch.cache() / "layers/blobs").glob("*") if path.name not in known]
    sent, converted = (sizes(registry) - before) / 1e6, sum(path.stat().st_size for path in made) / 1e6
    return [f"`vision` of the same torch after it: {len(made)} layers of {converted:.0f} MB made, {sent:.0f} MB sent."]


def forget_layers() -> None:
    """Those of wheels, of bytecode and of our own files; the system part is not what is measured."""
    top = scratch.cache() / "layers"
    for key in (top / "keys").glob("*.json"):
        if not key.name.startswith("system-"):
            key.unlink()
    for note in (top / "decided").glob("*"):
        if not note.name.startswith("system-"):
            note.unlink()


def conversion() -> str:
    """Wheels to layers alone, with as many threads as there are CPUs."""
    program = Path(__file__).with_name("convert.py")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _by_hand(write: Callable[[Lock, Path], None], lock: Lock, folder: Path, docker: Docker) -> dict[str, float]:
    """A Dockerfile, built and pushed; requirements change by a comment or by a package."""
    subprocess.run(["docker", "builder", "prune", "-af"], check=True, capture_output=True)
    found: dict[str, float] = {}
    with registries.served(folder.with_name(f"{folder.name}-registry")) as host:
        name = f"{host}/pytorch:video-llm"

        def go() -> tuple[float, float]:
            """(seconds until it is in the engine, until it is in the registry)"""
            built = run(docker(folder, "registry"))
            started = time.perf_counter()
            run(["docker", "tag", "imagekit-bench:registry", name])
            run(["docker", "push", "-q", name])
            return built, built + time.perf_counter() - started

        write(lock, folder)
        found[COLD] = go()[1]
        for path in folder.glob("*requirements.txt"):
            path.write_text(path.read_text() + "# once more\n")
        found[CACHED] = go()[1]
        found[AGAIN] = go()[1]
        path = folder / "requirements.txt"
        path.write_text(path.read_text() + "toolz==1.0.0\n")
        found[ENGINE], found[CHANGED] = go()
    subprocess.run(["docker", "rmi", "-f", name, "imagekit-bench:registry"], capture_output=True, check=False)
    shutil.rmtree(folder.with_name(f"{folder.name}-registry"))
    return found


def sizes(registry: Path) -> int:
    """Bytes of all blobs of a registry."""
    return sum(path.stat().st_size for path in registry.rglob("data"))


def run(call: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(call[:5])} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started
