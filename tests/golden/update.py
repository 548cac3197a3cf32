"""Write the goldens anew (`make golden`): the Dockerfiles of the committed locks, byte for byte; the diff is the review."""

from __future__ import annotations

import sys
from pathlib import Path

from imagekit import render, resources
from imagekit.lock.model import read

HERE = Path(__file__).parent


def expected() -> dict[str, str]:
    """profile -> Dockerfile, for every profile that has a committed lock; and one without COPY --link."""
    result = {}
    for path in sorted((resources.profiles() / "locks").glob("*/*.json")):
        lock = read(path)
        result[path.parent.name] = render.context(lock).dockerfile
    result["video-llm-nolink"] = render.context(
        read(next((resources.profiles() / "locks/video-llm").glob("*.json"))), link=False
    ).dockerfile
    return result


def main() -> int:
    for name, text in expected().items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(text)
        print(folder / "Dockerfile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
