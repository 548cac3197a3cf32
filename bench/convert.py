"""The wheels of video-llm to layers, one after the other on every CPU: bytes of tar in a second, and the memory."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from imagekit.lock.model import read
from imagekit.oci import installed, layer
from imagekit.oci.layer import Layer
from imagekit.wheels import store

LOCK = Path(__file__).parents[1] / "profiles/locks/video-llm/2.4.1-cuda12.1-py311.json"


def main() -> None:
    found = (store().path(package.file, package.sha256) for package in read(LOCK).packages if package.kind == "wheel")
    wheels = sorted((path for path in found if path.is_file()), key=lambda path: -path.stat().st_size)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def convert(wheel: Path) -> Layer:
            with (Path(folder) / wheel.name).open("wb") as out:
                return layer.write(out, layer.entries(installed.files(wheel, "3.11")))

        started = time.perf_counter()
        made = list(pool.map(convert, wheels))
        took = time.perf_counter() - started
    unpacked = sum(one.unpacked for one in made) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{len(made)} wheels to layers: {unpacked:.0f} MB of tar at {unpacked / took:.0f} MB/s, {peak} MB of memory.")


main()
