"""A wheel built from source is kept by what it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import samples

from imagekit.built import Shelf, key, sources
from imagekit.lock.model import Lock, Tool
from imagekit.wheels import Store

BASE = "imagekit/base:bookworm-0123456789ab"
WHEEL = "pillow_simd-12.1.1.post0-cp311-cp311-linux_x86_64.whl"


def a_lock(sdist: str = "source", setuptools: str = "80.9.0") -> Lock:
    lock = samples.lock("video-llm")
    source = samples.package(
        "pillow-simd",
        "12.1.1.post0",
        kind="sdist",
        file="pillow_simd-12.1.1.post0.tar.gz",
        sha256=samples.sha256(sdist),
    )
    requires = (Tool(name="setuptools", version=setuptools, hashes=(samples.sha256(setuptools),)),)
    return lock.model_copy(
        update={"packages": (*lock.packages, source), "build_requires": {"pillow-simd": requires}},
    )


def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "built", Store(tmp_path / "wheels"))


def kept(tmp_path: Path, lock: Lock, content: bytes = b"a wheel") -> Shelf:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    (out / WHEEL).write_bytes(content)
    (out / "built.txt").write_text("from the stage\n")
    the_shelf = shelf(tmp_path)
    the_shelf.keep(lock, BASE, sources(lock)[0], out)
    return the_shelf


def take(the_shelf: Shelf, lock: Lock, into: Path, base: str = BASE) -> dict[str, Path]:
    into.mkdir(exist_ok=True)
    return the_shelf.take(lock, base, into)


def test_what_was_kept_stands_in_for_the_stage(tmp_path: Path) -> None:
    lock = a_lock()
    found = take(kept(tmp_path, lock), lock, tmp_path / "context")
    place = found["built-pillow-simd"]
    assert (place / WHEEL).read_bytes() == b"a wheel"
    assert (place / "built.txt").read_text() == f"{samples.sha256(b'a wheel')}  {WHEEL}\n"  # as sha256sum writes it
    assert sorted(path.name for path in place.iterdir()) == ["built.txt", WHEEL]


def test_nothing_kept_means_it_is_built(tmp_path: Path) -> None:
    assert take(shelf(tmp_path), a_lock(), tmp_path / "context") == {}


def test_every_input_of_the_build_is_part_of_the_key(tmp_path: Path) -> None:
    lock = a_lock()
    package = sources(lock)[0]
    recipe = lock.resolution.builds[0].model_copy(update={"env": {"CC": "cc"}})
    other_recipe = lock.model_copy(update={"resolution": lock.resolution.model_copy(update={"builds": (recipe,)})})
    other_python = lock.model_copy(update={"resolution": lock.resolution.model_copy(update={"python": "3.13"})})
    keys = [
        key(lock, package, BASE),
        key(lock, package, "imagekit/base:bookworm-ffffffffffff"),
        key(a_lock(setuptools="81"), package, BASE),
        key(a_lock("other"), sources(a_lock("other"))[0], BASE),
        key(other_recipe, package, BASE),
        key(other_python, package, BASE),
    ]
    assert len(set(keys)) == len(keys)
    assert key(a_lock(), package, BASE) == keys[0]


def test_another_package_of_the_lock_is_no_input(tmp_path: Path) -> None:
    lock = a_lock()
    more = lock.model_copy(update={"packages": (*lock.packages, samples.package("toolz", "1.0.0"))})
    assert take(kept(tmp_path, lock), more, tmp_path / "context")


def test_a_damaged_wheel_is_built_again(tmp_path: Path) -> None:
    lock = a_lock()
    the_shelf = kept(tmp_path, lock)
    next((tmp_path / "wheels").rglob("*.whl")).write_bytes(b"other bytes")
    assert take(the_shelf, lock, tmp_path / "context") == {}
    found = take(kept(tmp_path, lock), lock, tmp_path / "later")
    assert (found["built-pillow-simd"] / WHEEL).read_bytes() == b"a wheel"


def test_a_trimmed_wheel_and_a_broken_entry_are_built_again(tmp_path: Path) -> None:
    lock = a_lock()
    the_shelf = kept(tmp_path, lock)
    shutil.rmtree(the_shelf.store.folder)
    assert take(the_shelf, lock, tmp_path / "context") == {}
    next((tmp_path / "built").glob("*.json")).write_text("[]")
    assert take(the_shelf, lock, tmp_path / "other") == {}
