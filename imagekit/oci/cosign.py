"""Signatures of images in a registry, by cosign where it is installed: with a key, and without any service of others.

cosign puts a signature beside the image, under the tag sha256-<digest>.sig.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from imagekit.errors import Surroundings, without_logins

SIGNATURE = ".sig"
"""What the tag of a signature ends with."""

TIMEOUT = 120
"""Seconds for one call."""

MISSING = "cosign is not installed"

_KEPT = ("PATH", "HOME", "DOCKER_CONFIG", "COSIGN_PASSWORD", "XDG_RUNTIME_DIR")


def tag_of(digest: str) -> str:
    return digest.replace(":", "-") + SIGNATURE


def available() -> bool:
    return shutil.which("cosign") is not None


def sign(reference: str, key: str, ca: str, proxies: Mapping[str, str]) -> None:
    """`reference`: HOST/REPOSITORY@DIGEST; `key`: a file, or what cosign takes for one (env://, awskms:// ...).

    The password of a key is in COSIGN_PASSWORD. Raises Surroundings.
    """
    if not available():
        raise Surroundings(MISSING, hint="Debian 13 has a package of it; without [sign] key nothing is signed")
    done = _run(["sign", "--yes", "--tlog-upload=false", "--key", key, reference], ca, proxies)
    if done.returncode:
        raise Surroundings(f"cosign could not sign {reference}", details=_last(done), hint="is COSIGN_PASSWORD set?")


def trouble(reference: str, key: str, ca: str, proxies: Mapping[str, str]) -> str:
    """Why an image is not signed by the owner of a public key; empty when it is. Raises Surroundings."""
    call = ["verify", "--private-infrastructure", "--key", key, reference]
    done = _run(call, ca, proxies)
    return " ".join(_last(done)) if done.returncode else ""


def _run(call: list[str], ca: str, proxies: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {name: text for name, text in os.environ.items() if f"env://{name}" in call}
    environment |= {"COSIGN_PASSWORD": environment.get("COSIGN_PASSWORD", "")}  # else it asks a terminal
    environment |= {"SSL_CERT_FILE": ca} if ca else {}
    environment |= {"NO_PROXY" if kind == "no_proxy" else f"{kind.upper()}_PROXY": url for kind, url in proxies.items()}
    try:
        return subprocess.run(
            ["cosign", *call], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Surroundings(f"cosign took more than {TIMEOUT} s") from None


def _last(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line.strip() for line in without_logins(done.stderr).splitlines() if line.strip()]
    found = [line.removeprefix("Error: ").removeprefix("error during command execution: ") for line in lines]
    return list(dict.fromkeys(found))[-3:]
