"""Into a registry and into an engine: the compose engine against one layer by uv and against layers of groups.

The registry is Debian's, plain, on this machine. Wheels are in imagekit's store and in uv's cache mount before the
clock starts, layers are in none. BuildKit has no store for groups: it fetches its wheels from the index each time.
"""

from __future__ import annotations

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

CHANGED = ("--with", "toolz==1.0.0")
GROUPS, UV, OURS = "BuildKit, layers of groups", "uv, one layer with a cache mount", "compose"


def composing(lock: Lock, folder: Path, docker: Callable[[Path, str], list[str]]) -> list[str]:
    """`docker(folder, name)`: the command that builds a hand-written Dockerfile as imagekit-bench:name."""
    seconds: dict[str, dict[str, float]] = {}
    with registries.served(folder / "registry") as host:
        seconds[UV] = _uv(lock, folder, host, docker)
        seconds[GROUPS] = _groups(host)
        seconds[OURS], conversion = _ours(host)
    rows = ["| video-llm, to a registry | " + " | ".join(seconds) + " |", "|---|" + "---|" * len(seconds)]
    for work in ("wheels cached", "one small package changed", "nothing changed"):
        mine = seconds[OURS][work]
        cells = [f"{took[work] / mine:.1f}x" if work in took else "" for took in seconds.values()]
        rows.append(f"| {work} | " + " | ".join(cells[:-1]) + f" | 1.0x ({mine:.1f} s here) |")
    return [*rows, "", conversion]


def _ours(host: str) -> tuple[dict[str, float], str]:
    build = ["imagekit", "build", "video-llm", "--no-test", "--engine", "compose", "--output"]
    # the store gets its wheels, and the system part is made: all but the layers of wheels
    run([*build, f"registry:{host}/warm/pytorch"])
    forget_layers()
    found = {"wheels cached": run([*build, f"registry:{host}/ours/pytorch"])}
    found["nothing changed"] = run([*build, f"registry:{host}/ours/pytorch"])
    run([*build, f"registry:{host}/ours/pytorch", "--with", "toolz==0.12.0"])
    found["one small package changed"] = run([*build, f"registry:{host}/ours/pytorch", *CHANGED])
    return found, conversion()


def forget_layers() -> None:
    """Those of wheels, of bytecode and of our own files; the system part is not what is measured."""
    top = scratch.cache() / "layers"
    for key in (top / "keys").glob("*.json"):
        if not key.name.startswith("system-"):
            key.unlink()
    shutil.rmtree(top / "decided", ignore_errors=True)


def conversion() -> str:
    """Wheels to layers alone, with as many threads as there are CPUs."""
    program = Path(__file__).with_name("convert.py")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _groups(host: str) -> dict[str, float]:
    build = ["imagekit", "build", "video-llm", "--no-test"]
    name = f"{host}/groups/pytorch:video-llm"

    def go(*more: str) -> float:
        started = time.perf_counter()
        done = subprocess.run([*build, *more], check=True, capture_output=True, text=True)
        subprocess.run(["docker", "tag", done.stdout.strip(), name], check=True)
        run(["docker", "push", "-q", name])
        return time.perf_counter() - started

    first = go()
    again = go()
    go("--with", "toolz==0.12.0")
    found = {"wheels cached": first, "nothing changed": again, "one small package changed": go(*CHANGED)}
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)
    return found


def _uv(lock: Lock, folder: Path, host: str, docker: Callable[[Path, str], list[str]]) -> dict[str, float]:
    place, name = folder / "uv", f"{host}/uv/pytorch:video-llm"
    handwritten.uv(lock, place)
    run(docker(place, "registry"))  # the cache mount has the wheels now
    (place / "requirements.txt").write_text((place / "requirements.txt").read_text() + "six\n")

    def go() -> float:
        started = time.perf_counter()
        run(docker(place, "registry"))
        subprocess.run(["docker", "tag", "imagekit-bench:registry", name], check=True)
        run(["docker", "push", "-q", name])
        return time.perf_counter() - started

    found = {"wheels cached": go(), "nothing changed": go()}
    (place / "requirements.txt").write_text((place / "requirements.txt").read_text() + "toolz==1.0.0\n")
    found["one small package changed"] = go()
    subprocess.run(["docker", "rmi", "-f", name, "imagekit-bench:registry"], capture_output=True, check=False)
    return found


def run(call: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(call[:5])} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started
