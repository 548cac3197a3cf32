"""Signatures of images in a registry, by cosign where it is installed: with a key, and without any service of others.

cosign puts a signature beside the image, under the tag sha256-<digest>.sig.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from imagekit import scratch
from imagekit.errors import Surroundings, UsageError, without_logins
from imagekit.oci.answers import Refused
from imagekit.oci.registry import Repository

SIGNATURE = ".sig"
"""What the tag of a signature ends with."""

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
"""Media type of what is signed."""

TIMEOUT = 120
"""Seconds for one call."""

MISSING = "cosign is not installed"


def tag_of(digest: str) -> str:
    return digest.replace(":", "-") + SIGNATURE


def signature(there: Repository, digest: str) -> str:
    """The digest of what signs a manifest; empty where there is nothing, or something that is no signature."""
    found = there.digest_of(tag_of(digest))
    if not found:
        return ""
    try:
        rows = json.loads(there.manifest(found)[0])["layers"]
        kinds, said = {row["mediaType"] for row in rows}, json.loads(there.read(str(rows[0]["digest"])))
        about = said["critical"]["image"]["docker-manifest-digest"]
    except Refused as error:
        if error.status != 404:
            raise
        return ""
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return ""
    return found if kinds == {SIMPLE} and about == digest else ""


def available() -> bool:
    return shutil.which("cosign") is not None


def needed() -> None:
    """Raises Surroundings where images are to be signed and nothing here can do it: before anything is built."""
    if not available():
        raise Surroundings(MISSING, hint="Debian 13 has a package of it; without [sign] key nothing is signed")


def sign(reference: str, key: str, ca: str, proxies: Mapping[str, str]) -> None:
    """`reference`: HOST/REPOSITORY@DIGEST; `key`: a file, or what cosign takes for one (env://, awskms:// ...).

    The password of a key is in COSIGN_PASSWORD. Raises Surroundings.
    """
    done = _run(["sign", "--yes", "--tlog-upload=false", "--key", key, reference], ca, proxies)
    if done.returncode:
        raise Surroundings(f"cosign could not sign {reference}", details=_last(done), hint="is COSIGN_PASSWORD set?")


def trouble(reference: str, key: str, ca: str, proxies: Mapping[str, str]) -> str:
    """Why an image is not signed by the owner of a public key; empty when it is. Raises Surroundings, UsageError."""
    if "://" not in key and not Path(key).is_file():
        raise UsageError(f"there is no public key {key}", hint="cosign public-key --key cosign.key writes it")
    call = ["verify", "--private-infrastructure", "--key", key, reference]
    done = _run(call, ca, proxies)
    return " ".join(_last(done)) if done.returncode else ""


def _run(call: list[str], ca: str, proxies: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = scratch.reaching(ca, proxies)  # all of it: keys in a KMS are reached by variables of their own
    environment |= {"COSIGN_PASSWORD": environment.get("COSIGN_PASSWORD", "")}  # else it asks a terminal
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
