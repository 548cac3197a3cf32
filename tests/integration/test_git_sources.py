"""A package out of a git repository: locked by its commit, built without git, proven, and kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import repositories
from repositories import Repository
from rooms import LOCK, Room, docker, files_of, no_stages_left

SETUP = 'from setuptools import setup\nsetup(name="acme-clip", version="1.0", packages=["acme_clip"])\n'


@pytest.fixture(autouse=True, scope="module")
def stages(engine: object) -> Iterator[None]:
    """Those of a source build have no label of their own, but that of imagekit's base, which all stand on."""
    with no_stages_left("io.imagekit.base"):
        yield


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with repositories.served(tmp_path / "repository") as made:
        yield made


def profile(room: Room, repository: Repository, more: str = "", ref: str = "v1", name: str = "") -> tuple[str, str]:
    entry = f"sources:\n  acme-clip: {{git: {repository.url}, ref: {ref}{more}}}\n"
    path, name = room.profile(entry, name)
    return path, f"locks/{name}/{Path(LOCK).name}"


def log_of(room: Room, said: str) -> str:
    name = re.search(r"log (\S+\.log)", said)
    assert name, said
    return (room.cache / "imagekit/logs" / name[1]).read_text()


def test_both_builders_install_the_locked_commit(room: Room, repository: Repository) -> None:
    commit = repository.package("1.0", '"six"')
    repository.tag("v1")
    path, lock = profile(room, repository)
    done = room.good("build", path)
    image = done.stdout.strip()
    assert "is proven" in room.good("test", image).stderr
    package = room.lock(lock).package("acme-clip")
    assert package and (package.commit, package.version, package.kind) == (commit, "1.0", "sdist")
    program = "import acme_clip, importlib.metadata as m; print(acme_clip.__version__, m.version('acme-clip'))"
    assert docker("run", "--rm", "--network=none", image, "python", "-c", program) == "1.0 1.0"
    record = docker("run", "--rm", "--network=none", image, "cat", "/opt/imagekit/record/built-rest.txt")
    assert "acme_clip-1.0-py3-none-any.whl" in record
    assert "[source-acme-clip" in log_of(room, done.stderr)

    shutil.rmtree(repository.folder)  # what is locked and kept needs the repository no more
    again = room.good("build", path)
    assert again.stdout == done.stdout
    classic = room.good("build", path, "--engine", "classic")
    ours, theirs = files_of(image), files_of(classic.stdout.strip())
    assert {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)} == set()
    assert room.leftovers() == []


def test_a_second_build_compiles_nothing(room: Room, repository: Repository) -> None:
    """With another package beside it, the layers are new; the wheel is the one that was kept."""
    repository.package("1.0", '"six"')
    repository.tag("v1")
    path, _ = profile(room, repository)
    room.good("build", path, "--no-test")
    log = log_of(room, room.good("build", path, "--no-test", "--with", "toolz").stderr)
    assert "[context built-acme-clip]" in log and "source-acme-clip" not in log


def test_a_tag_that_moved_is_told_and_kept(room: Room, repository: Repository) -> None:
    first = repository.package("1.0")
    repository.tag("v1")
    path, lock = profile(room, repository)
    room.good("lock", path)
    second = repository.package("1.1")
    repository.tag("v1")
    assert "unchanged" in room.good("lock", path).stderr
    name = Path(path).stem
    profile(room, repository, ", requires: [six]", name=name)
    assert f"the tag v1 moved to {second[:12]}" in room.good("lock", path).stderr
    kept = room.lock(lock).package("acme-clip")
    assert kept and kept.commit == first
    room.good("lock", path, "--upgrade-package", "acme-clip")
    new = room.lock(lock).package("acme-clip")
    assert new and (new.commit, new.version) == (second, "1.1")


def test_a_commit_that_vanished(room: Room, repository: Repository) -> None:
    repository.commit({"README": "first\n"})
    gone = repository.package("1.0")
    path, _ = profile(room, repository, ref="main")
    room.good("lock", path)
    repository.forget(gone)
    now = repository.package("1.1")
    package = next((room.cache / "imagekit/wheels").rglob(f"acme-clip-{gone}.tar"))
    shutil.rmtree(package.parent)
    done = room.run("render", path, "-o", "context")
    assert done.returncode == 4
    assert f"locked commit {gone} of main is no longer in the repository; main is now {now}" in done.stderr
    assert "imagekit lock --upgrade-package acme-clip" in done.stderr
    room.good("lock", path, "--upgrade-package", "acme-clip")
    room.good("render", path, "-o", "context")
    assert room.leftovers() == []


def test_a_setup_py_is_not_run_while_locking(room: Room, repository: Repository, tmp_path: Path) -> None:
    """The profile says what only its setup.py would; what is built must be what was said."""
    mark = tmp_path / "ran"
    repository.commit({"setup.py": f"open({str(mark)!r}, 'w')\n{SETUP}", "acme_clip/__init__.py": ""})
    repository.tag("v1")
    path, _ = profile(room, repository)
    done = room.run("lock", path)
    assert done.returncode == 2 and "write version:" in done.stderr and "write requires:" in done.stderr
    path, lock = profile(room, repository, ", version: '2.0', requires: [six], build_requires: [setuptools <81]")
    room.good("lock", path)
    assert not mark.exists()
    tools = {tool.name: tool.version for tool in room.lock(lock).build_requires["acme-clip"]}
    assert int(tools["setuptools"].split(".")[0]) < 81


def test_a_wheel_of_another_version_is_told(room: Room, repository: Repository) -> None:
    repository.commit({"setup.py": SETUP, "acme_clip/__init__.py": ""})
    repository.tag("v1")
    path, _ = profile(room, repository, ", version: '2.0', requires: []")
    done = room.run("build", path)
    assert done.returncode == 6
    assert "acme-clip was locked as 2.0, and its source gives" in done.stderr
    assert "acme_clip-1.0-py3-none-any.whl" in done.stderr


COMPILED = {
    "pyproject.toml": (
        '[build-system]\nrequires = ["setuptools", "setuptools_scm"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "acme-clip"\ndynamic = ["version"]\ndependencies = ["six"]\n[tool.setuptools_scm]\n'
    ),
    "setup.py": (
        "from setuptools import Extension, setup\n"
        'setup(packages=["acme_clip"], ext_modules=[Extension("acme_clip._fast", ["fast.c"])])\n'
    ),
    "fast.c": (
        '#include <Python.h>\nstatic struct PyModuleDef fast = {PyModuleDef_HEAD_INIT, "_fast", 0, -1, 0};\n'
        "PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&fast); }\n"
    ),
    "acme_clip/__init__.py": "from . import _fast\n",
}  # fmt: skip
"""A package that compiles, and takes its version from tags, which an archive does not have."""


def test_an_overlay_with_a_source_that_compiles(room: Room, repository: Repository) -> None:
    repository.commit(COMPILED)
    repository.tag("v1.2")
    path, _ = room.profile("")
    tools = "apt_build: [gcc, libc6-dev, python3-dev]"
    (room.folder / "acme.yaml").write_text(
        f'sources:\n  acme-clip: {{git: {repository.url}, ref: v1.2, version: "1.2", {tools}}}\n'
    )
    image = room.good("build", path, "--overlay", "acme.yaml").stdout.strip()
    program = "import acme_clip._fast, importlib.metadata as m; print(m.version('acme-clip'))"
    assert docker("run", "--rm", "--network=none", image, "python", "-c", program) == "1.2"
    assert docker("run", "--rm", "--network=none", image, "sh", "-c", "which gcc || true") == ""
    classic = room.good("build", path, "--overlay", "acme.yaml", "--engine", "classic", "--no-test").stdout.strip()
    ours, theirs = files_of(image), files_of(classic)
    assert {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)} == set()
    docker("rmi", "-f", image, classic)
