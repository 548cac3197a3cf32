"""Rooms in which imagekit is run as its users run it, and a few words for talking to the engine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import standins

from imagekit.lock.model import Lock, read

LOCK = "locks/tiny/2.4.1-cuda12.1-py311.json"
PATIENCE = 300
"""Seconds that one command may take before its test fails."""


MADE: set[str] = set()
"""Names of the profiles that this run of the tests wrote: the images that are its own to remove."""


@dataclass
class Room:
    """A folder with a site file and a local index, in which imagekit is run as a user runs it."""

    folder: Path
    cache: Path
    index: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        own = {"XDG_CACHE_HOME": self.cache, "XDG_STATE_HOME": self.state, "TMPDIR": self.temporary}
        host = {key: value for key, value in os.environ.items() if key not in ("CI", "IMAGEKIT_SITE")}
        return {**host, **{key: str(value) for key, value in own.items()}, **self.extra}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "imagekit", *arguments], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def good(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def lock(self, path: str = LOCK) -> Lock:
        return read(self.folder / path)

    def profile(self, text: str, name: str = "") -> tuple[str, str]:
        """Write a profile of its own that extends tiny; (argument for the command line, its name)."""
        name = name or f"tiny-{uuid.uuid4().hex[:8]}"
        MADE.add(name)
        (self.folder / f"{name}.yaml").write_text(f"extends: tiny\n{text}")
        return f"./{name}.yaml", name

    def leftovers(self) -> list[str]:
        """Temporary files of imagekit."""
        places = [self.temporary, self.cache / "imagekit/tmp"]
        return sorted(path.name for place in places if place.is_dir() for path in place.iterdir())


def docker(*arguments: str, **options: object) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, **options).stdout.strip()  # type: ignore[call-overload,no-any-return]


def tags() -> dict[str, str]:
    """Tag -> image id of everything tests may make."""
    call = ["docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "pytorch"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    while done.returncode and "No such image" in done.stderr:  # somebody else removed one while they were listed
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = (row.partition(" ") for row in done.stdout.splitlines())
    return {tag: image for tag, _, image in rows if "-tiny" in tag}


def files_of(image: str, **options: object) -> dict[str, tuple[object, ...]]:
    """Path -> kind, mode, owner, link, sha256 of everything in an image, without the records of its making."""
    container = docker("create", image, **options)
    found: dict[str, tuple[object, ...]] = {}
    try:
        with tempfile.TemporaryFile() as out:
            # not `docker export`: Engine 26.1 leaves the container's file system mounted, and gigabytes behind
            subprocess.run(["docker", "cp", f"{container}:/", "-"], stdout=out, check=True, **options)  # type: ignore[call-overload]
            out.seek(0)
            with tarfile.open(fileobj=out) as archive:
                for member in archive:
                    name = member.name.removeprefix("/")
                    if name.startswith("opt/imagekit/record/") or name in (".dockerenv", "var/log/apt"):
                        continue
                    file = archive.extractfile(member) if member.isreg() else None
                    sha256 = hashlib.sha256(file.read()).hexdigest() if file else ""
                    found[name] = (
                        member.type,
                        member.mode & 0o7777,
                        member.uid,
                        member.gid,
                        member.linkname,
                        sha256,
                    )
    finally:
        docker("rm", "-f", container, **options)
    return found


@contextlib.contextmanager
def no_stages_left(label: str) -> Iterator[None]:
    """The classic builder's cache is images without a name; those with this label that are made meanwhile go."""
    call = ["images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", f"label={label}"]
    before = set(docker(*call).split())
    yield
    for image in set(docker(*call).split()) - before:
        subprocess.run(["docker", "rmi", image], capture_output=True, check=False)


def secret() -> list[str]:
    """How a plain `docker build` gets the CA bundle where one is needed."""
    bundle = os.environ.get("SSL_CERT_FILE")
    return ["--secret", f"id=ca,src={bundle}"] if bundle else []


def make(folder: Path, shared: Path) -> Room:
    """A room whose site file routes torch to the index in `shared`; rooms of one `shared` have one cache."""
    standins.site_file(folder, (shared / "simple").as_uri())
    room = Room(folder, shared / "cache", shared / "simple")
    room.temporary.mkdir()
    return room


def trust(room: Room, certificate: Path) -> None:
    """This machine's own bundle with one certificate more, as a company's machine has it."""
    bundle = room.folder / "bundle.pem"
    own = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
    bundle.write_text(Path(own).read_text() + certificate.read_text())
    room.extra["IMAGEKIT_CA"] = str(bundle)


SHIM = """#!/bin/sh
# the docker command, except that a build takes nothing from the cache
case "$*" in
*--progress=plain*) exec {docker} "$@" --no-cache ;;
*) exec {docker} "$@" ;;
esac
"""


@contextlib.contextmanager
def every_step(room: Room, wanted: bool = True) -> Iterator[None]:
    """What is started meanwhile builds without the cache, so that there is something to interrupt."""
    if not wanted:
        yield
        return
    shim = room.folder / "bin/docker"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(docker=shutil.which("docker")))
    shim.chmod(0o755)
    room.extra["PATH"] = f"{shim.parent}:{os.environ['PATH']}"
    yield
    del room.extra["PATH"]
