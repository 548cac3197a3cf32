"""Requirements that contradict each other: the next `pip install` in a derived image moves a package that nobody
asked it to touch."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

from ..check import ALL, Check, Failure, Figures, Image, Skip, canonical

ODD_TAG = re.compile(r"^(\S+) \S+ is not supported on this platform$")
"""Some wheels carry another tag inside than in their file name (decord 0.6.0), and pip reads the inner one."""


def run(image: Image) -> Figures:
    if importlib.util.find_spec("pip") is None:
        raise Skip("pip is not in this image")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "check"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    # The lock chose locked wheels by file name, and `imports` proves that they run here.
    odd = [line for line in lines if (match := ODD_TAG.match(line)) and image.has(canonical(match.group(1)))]
    wrong = [line for line in lines if line not in odd]
    if done.returncode and (wrong or not odd):
        raise Failure(
            found="; ".join(wrong) or done.stderr.strip(),
            expected="No broken requirements found.",
            because="something was installed against the lock, or the lock was made without a requirement",
            fix="pip install within /opt/imagekit/constraints.txt, or lock again",
        )
    return {"odd_tags": odd}


CHECK = Check("pip-check", "static", run, covers=(ALL,))
