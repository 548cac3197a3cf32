"""A proof that fails: nothing is tagged but the failed image, and everything says what is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import standins
from rooms import LOCK, Room, docker, tags

TINY = "pytorch:2.4.1-cuda12.1-tiny"


@pytest.fixture
def derived(built: object) -> Iterator[object]:
    """Builds an image from RUN lines on top of tiny; its tag."""
    name = f"{TINY}-derived"

    def make(*lines: str) -> str:
        text = "\n".join([f"FROM {TINY}", "USER root", *lines, "USER 1000:0"])
        subprocess.run(
            ["docker", "build", "-q", "-t", name, "-"], input=text, text=True, check=True, capture_output=True
        )
        return name

    yield make
    subprocess.run(["docker", "rmi", name], capture_output=True, check=False)


def test_a_package_that_is_gone(built: tuple[Room, object], derived) -> None:  # type: ignore[no-untyped-def]
    done = built[0].run("test", derived("RUN pip uninstall -q -y six"))
    assert done.returncode == 5 and done.stdout == ""
    assert "versions" in done.stderr and "six 1." in done.stderr and "is not installed" in done.stderr


def test_a_package_of_another_version(built: tuple[Room, object], derived) -> None:  # type: ignore[no-untyped-def]
    locked = built[0].lock().package("six")
    assert locked
    place = "/opt/venv/lib/python/site-packages"
    image = derived(
        f"RUN cd {place} && mv six-{locked.version}.dist-info six-0.9.dist-info"
        " && sed -i 's/^Version: .*/Version: 0.9/' six-0.9.dist-info/METADATA"
    )
    done = built[0].run("test", image)
    assert done.returncode == 5
    assert f"six 0.9 instead of {locked.version}" in done.stderr


def test_an_addition_is_allowed(built: tuple[Room, object], derived) -> None:  # type: ignore[no-untyped-def]
    image = derived("RUN mkdir /opt/team && echo hello >/opt/team/file")
    assert built[0].run("test", image).returncode == 0


def test_an_image_of_somebody_else(built: tuple[Room, object]) -> None:
    done = built[0].run("test", "imagekit/base:bookworm")
    assert done.returncode == 2
    assert "not built by imagekit" in done.stderr


def test_an_image_that_is_not_there(built: tuple[Room, object]) -> None:
    done = built[0].run("test", "pytorch:no-such-tiny")
    assert done.returncode == 2
    assert "no image pytorch:no-such-tiny" in done.stderr


def test_a_profile_without_a_lock(built: tuple[Room, object], room: Room) -> None:
    (room.folder / LOCK).unlink()
    done = room.run("test", "tiny")
    assert done.returncode == 2
    assert "imagekit build tiny" in done.stderr


def test_a_build_that_is_not_proven_moves_no_tag(room: Room) -> None:
    """Good, then bad, then good again: the tag stays with the good one, the failed one is kept until it is mended."""
    path, name = room.profile('env: {NOTE: "one"}\n')
    first = room.good("build", path).stdout.strip()
    before = {tag for tag in tags() if name in tag}

    room.profile("env: {LANG: C}\n", name)
    bad = room.run("build", path)
    assert bad.returncode == 5 and bad.stdout == ""
    assert "FAIL  env" in bad.stderr and "LANG=C is not UTF-8" in bad.stderr
    assert f"{TINY.removesuffix('tiny')}{name} is still {first[:19]}" in bad.stderr
    failed = f"{TINY.removesuffix('tiny')}{name}-failed"
    assert {tag for tag in tags() if name in tag} == before | {failed}
    assert tags()[f"{TINY.removesuffix('tiny')}{name}"] == first
    assert f"imagekit test {failed} --check env" in bad.stderr
    assert room.run("test", failed, "--check", "env").returncode == 5
    assert room.leftovers() == []

    room.profile('env: {NOTE: "two"}\n', name)
    assert room.good("build", path).stdout.strip() != first
    assert failed not in tags()


def test_a_first_build_that_is_not_proven_leaves_only_the_failed_tag(room: Room) -> None:
    path, name = room.profile("env: {LANG: C}\n")
    bad = room.run("build", path)
    assert bad.returncode == 5
    assert [tag.rsplit("-", 1)[-1] for tag in tags() if name in tag] == ["failed"]
    kept = [path.parent.name for path in room.state.rglob("*.json")]
    assert kept == ["evidence"]  # the report, and no record of a build


def test_without_a_proof_the_build_says_so(room: Room) -> None:
    path, name = room.profile("env: {LANG: C}\n")
    done = room.good("build", path, "--no-test")
    assert "not run (--no-test)" in done.stderr and f"imagekit test pytorch:2.4.1-cuda12.1-{name}" in done.stderr


def test_an_image_that_is_not_what_its_tag_would_say(room: Room, tmp_path: Path) -> None:
    """The index serves, as torch 2.4.1, a build for another CUDA."""
    other = standins.torch(cuda="11.8")
    url = standins.index(tmp_path / "other", [other])
    standins.site_file(room.folder, url)
    path, name = room.profile("")
    before = images()
    done = room.run("build", path)
    assert done.returncode == 6 and done.stdout == ""
    assert "CUDA: the image has 11.8, the lock says 12.1" in done.stderr
    assert not [tag for tag in tags() if name in tag]
    assert not [image for image in images() - before if profile_of(image) == name]


def test_an_index_that_serves_other_bytes_than_locked(room: Room, tmp_path: Path) -> None:
    path, name = room.profile("")
    room.good("lock", path)
    room.extra["XDG_CACHE_HOME"] = str(tmp_path / "cold")
    liar = standins.Wheel("torch", "2.4.1", modules=standins.torch().modules, requires=("six",))
    standins.site_file(room.folder, standins.index(tmp_path / "liar", [liar]))
    done = room.run("build", path)
    assert done.returncode == 4
    assert "hash mismatch: torch-2.4.1" in done.stderr
    assert not [tag for tag in tags() if name in tag]
    assert not list((tmp_path / "cold/imagekit/wheels").rglob("*.whl"))


def images() -> set[str]:
    return set(docker("images", "-q", "--no-trunc", "--filter", "label=io.imagekit.profile").split())


def profile_of(image: str) -> str:
    done = subprocess.run(
        ["docker", "inspect", "-f", '{{index .Config.Labels "io.imagekit.profile"}}', image],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()
