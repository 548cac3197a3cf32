"""Locks against the real index: hostile surroundings change nothing, and old versions stay until told otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import standins
from rooms import LOCK, Room

from imagekit import site


def undated(lock: bytes) -> dict[str, object]:
    """A lock without its day: two locks of one test may be made before and after midnight."""
    return {key: value for key, value in json.loads(lock).items() if key != "created"}


def test_lock_poisoned(built: object, room: Room, tmp_path: Path) -> None:
    """A stranger's index with a higher six, in every place that pip and uv read: the lock is the same."""
    honest = undated((room.folder / LOCK).read_bytes())
    evil_wheel = standins.Wheel("six", "99.0")
    evil = standins.index(tmp_path / "evil", [evil_wheel])
    links = tmp_path / "evil/simple/six"
    config = tmp_path / "config"
    (config / "pip").mkdir(parents=True)
    (config / "uv").mkdir()
    pip_conf = f"[global]\nextra-index-url = {evil}\nfind-links = {links}\n"
    (config / "pip/pip.conf").write_text(pip_conf)
    (config / "own.conf").write_text(pip_conf)
    (config / "uv/uv.toml").write_text(
        f'extra-index-url = ["{evil}"]\nfind-links = ["{links}"]\n[[index]]\nname = "evil"\nurl = "{evil}"\n'
    )
    (room.folder / "uv.toml").write_text(f'extra-index-url = ["{evil}"]\n')
    (room.folder / "pyproject.toml").write_text(f'[tool.uv]\nextra-index-url = ["{evil}"]\n')
    default = site.load(room.folder / "imagekit.toml").default_index
    room.extra = {
        "XDG_CONFIG_HOME": str(config), "PIP_CONFIG_FILE": str(config / "own.conf"), "PIP_EXTRA_INDEX_URL": evil,
        "UV_EXTRA_INDEX_URL": evil, "UV_INDEX": f"evil={evil}", "PIP_FIND_LINKS": str(links), "UV_FIND_LINKS": str(links),
        "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_PRERELEASE": "allow", "PIP_PRE": "1", "UV_OVERRIDE": str(links),
        "UV_CONFIG_FILE": str(config / "uv/uv.toml"), "PIP_CONSTRAINT": "/nowhere", "UV_CONSTRAINT": "/nowhere",
    }  # fmt: skip
    if default:
        room.extra["UV_DEFAULT_INDEX"] = default

    shown = json.loads(room.good("site", "--json").stdout)
    assert {entry["origin"] for entry in shown["ignored"]} >= {
        "$PIP_EXTRA_INDEX_URL", "$UV_EXTRA_INDEX_URL", "$UV_INDEX", "$PIP_FIND_LINKS", "$UV_FIND_LINKS",
        str(config / "pip/pip.conf"), str(config / "own.conf"), str(config / "uv/uv.toml"),
    }  # fmt: skip

    (room.folder / LOCK).unlink()
    room.good("lock", "tiny")
    assert undated((room.folder / LOCK).read_bytes()) == honest


def test_a_lock_says_nothing_of_mirrors(built: tuple[Room, object]) -> None:
    text = (built[0].folder / LOCK).read_text()
    assert "://" not in text and str(built[0].index) not in text


def test_locking_again_gives_the_same_bytes(room: Room) -> None:
    before = (room.folder / LOCK).read_bytes()
    assert "unchanged" in room.good("lock", "tiny").stderr
    assert "nothing newer" in room.good("lock", "tiny", "--upgrade").stderr
    assert (room.folder / LOCK).read_bytes() == before


def test_old_versions_stay_until_told_to_upgrade(room: Room, tmp_path: Path) -> None:
    old, new = standins.Wheel("acme-tool", "1.0"), standins.Wheel("acme-tool", "2.0")
    url = standins.index(tmp_path / "acme", [standins.torch(), old])
    standins.site_file(room.folder, url, only=["torch", "acme-*"])
    path, name = room.profile("packages: [acme-tool]\n")
    file = f"locks/{name}/{Path(LOCK).name}"

    def version() -> str:
        package = room.lock(file).package("acme-tool")
        assert package and package.index == "standin"
        return package.version

    room.good("lock", path)
    assert version() == "1.0"
    standins.index(tmp_path / "acme", [standins.torch(), old, new])
    room.profile("packages: [acme-tool, six]\nabout: another\napt: [jq]\n", name)
    assert "refreshed" in room.good("lock", path).stderr
    assert version() == "1.0"
    room.good("lock", path, "--upgrade-package", "acme-tool")
    assert version() == "2.0"


def test_a_private_name_never_comes_from_the_public_index(room: Room, tmp_path: Path) -> None:
    """`only` routes a name even when another package asks for it: idna of the company, not the one of the world."""
    mine = standins.Wheel("idna", "0.1")
    needs = standins.Wheel("acme-app", "1.0", requires=("idna",))
    url = standins.index(tmp_path / "acme", [standins.torch(), mine, needs])
    standins.site_file(room.folder, url, only=["torch", "acme-*", "idna"])
    path, name = room.profile("packages: [acme-app]\n")
    room.good("lock", path)
    idna = room.lock(f"locks/{name}/{Path(LOCK).name}").package("idna")
    assert idna and (idna.version, idna.index) == ("0.1", "standin")


def test_locked_frozen_and_ci(room: Room) -> None:
    path, name = room.profile("")
    missing = room.run("lock", path, "--locked")
    assert missing.returncode == 2 and f"imagekit lock {path}" in missing.stderr
    frozen = room.run("lock", path, "--frozen")
    assert frozen.returncode == 2 and "there is no lock" in frozen.stderr

    room.extra["CI"] = "true"
    room.good("lock", path)
    room.profile("packages: [six >=1.16]\n", name)
    stale = room.run("lock", path)
    assert stale.returncode == 2 and "stale" in stale.stderr and "wants" in stale.stderr
    assert "as it is" in room.good("lock", path, "--frozen").stderr


def test_a_package_that_nobody_has(room: Room) -> None:
    before = (room.folder / LOCK).read_bytes()
    path, name = room.profile("packages: [torchvison-no-such-thing]\n")
    done = room.run("lock", path)
    assert done.returncode == 3
    assert "torchvison-no-such-thing" in done.stderr and "spelling" in done.stderr
    assert not (room.folder / "locks" / name).exists() or not list((room.folder / "locks" / name).iterdir())
    assert (room.folder / LOCK).read_bytes() == before
    assert room.leftovers() == []


def test_requirements_that_fight(room: Room, tmp_path: Path) -> None:
    url = standins.index(
        tmp_path / "acme", [standins.torch(), standins.Wheel("acme-app", "1.0", requires=("six<1.10",))]
    )
    standins.site_file(room.folder, url, only=["torch", "acme-*"])
    path, _ = room.profile("packages: [acme-app, six >=1.16]\n")
    done = room.run("lock", path)
    assert done.returncode == 3
    assert "no set of versions fits" in done.stderr and "acme-app" in done.stderr and "six" in done.stderr


def test_a_wish_replaces_the_profiles_preference(room: Room) -> None:
    path, _ = room.profile("packages: [packaging <20]\n")
    made = room.good("lock", path, "--with", "packaging>=23").stdout.strip()
    packaging = room.lock(made).package("packaging")
    assert packaging and int(packaging.version.split(".")[0]) >= 23


def test_a_wheel_for_another_python_is_refused(room: Room, tmp_path: Path) -> None:
    """Only a version range that the image's Python does not fit."""
    path, _ = room.profile("packages: [markupsafe ==1.1.1]\n")
    done = room.run("lock", path)
    assert done.returncode == 3
    assert (
        "no wheel for this Python and glibc" in done.stderr and "markupsafe" in done.stderr and "recipe" in done.stderr
    )
