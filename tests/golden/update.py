"""Write what tests compare byte for byte, Dockerfiles, docs/cli.md and docs/troubleshooting.md: `make golden`; the diff is the review.

A golden is made from a committed lock: that of profiles/locks/<profile>/ for the profile's own versions, or, for a
profile whose lock depends on a local index, the lock.json beside it.
"""

from __future__ import annotations

from pathlib import Path

import cli_page
import troubleshooting_page

from imagekit import own_files, render, resources
from imagekit.compat.resolve import resolve
from imagekit.lock.model import Lock, Package, file_name, read
from imagekit.profile import Wishes, load

HERE = Path(__file__).parent
PROFILES = ("base", "tiny", "video-llm")


def lock_of(profile: str) -> Lock | None:
    shipped = resources.profiles() / "locks" / profile / file_name(resolve(load(profile), Wishes()))
    path = shipped if shipped.is_file() else HERE / profile / "lock.json"
    return read(path) if path.is_file() else None


def dockerfile(profile: str) -> str:
    lock = lock_of(profile)
    assert lock is not None, f"there is no lock of {profile}"
    return render.context(lock).dockerfile


def with_overlay() -> str:
    """tiny with the overlay in tiny-acme, out of tiny's lock: no package is added, so no index is asked."""
    profile = load("tiny", (str(HERE / "tiny-acme/acme.yaml"),))
    lock = lock_of("tiny")
    assert lock is not None
    lock = lock.model_copy(update={"resolution": resolve(profile, Wishes())})
    return render.context(lock, own=own_files.of(profile)).dockerfile


def with_a_git_source() -> str:
    """tiny with a package out of a repository, out of tiny's lock: nothing is fetched."""
    lock = lock_of("tiny")
    assert lock is not None
    commit = "0123456789abcdef0123456789abcdef01234567"
    package = Package(
        name="acme-clip", version="1.0", kind="sdist", file=f"acme-clip-{commit}.tar", sha256="0" * 64, size=10240,
        git="https://git.example/acme/clip.git", ref="v1.0", commit=commit,
    )  # fmt: skip
    resolution = resolve(load(str(HERE / "tiny-git")), Wishes())
    lock = lock.model_copy(update={
        "resolution": resolution, "packages": (package, *lock.packages), "build_requires": {"acme-clip": lock.tools},
    })  # fmt: skip
    return render.context(lock).dockerfile


def for_the_classic_builder() -> str:
    lock = lock_of("tiny")
    assert lock is not None
    return render.context(lock, dialect="classic").dockerfile


def main() -> None:
    made_here = {
        "tiny-acme": with_overlay, "tiny-classic": for_the_classic_builder, "tiny-git": with_a_git_source,
    }  # fmt: skip
    for name, made in made_here.items():
        path = HERE / name / "Dockerfile"
        path.parent.mkdir(exist_ok=True)
        old = path.read_text() if path.is_file() else ""
        path.write_text(made())
        print(f"{name}: {'unchanged' if old == path.read_text() else 'written'}")
    for profile in PROFILES:
        path = HERE / profile / "Dockerfile"
        if lock_of(profile) is None:
            print(f"{profile}: no lock, no golden")
            continue
        path.parent.mkdir(exist_ok=True)
        old = path.read_text() if path.is_file() else ""
        path.write_text(dockerfile(profile))
        print(f"{profile}: {'unchanged' if old == path.read_text() else 'written'}")
    cli_page.FILE.write_text(cli_page.page())
    troubleshooting_page.FILE.write_text(troubleshooting_page.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
