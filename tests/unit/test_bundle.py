"""Bundles: what goes in comes out, and nothing else; what is wrong with one is said, all of it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import samples
import standins

from imagekit import bundle, gathered, pipeline, scratch, wheels
from imagekit.bundle import Bundle, mirror, pack, unpack
from imagekit.compat import facts
from imagekit.compat.resolve import resolve
from imagekit.compose import Wheel
from imagekit.compose.system import System
from imagekit.errors import Error, Surroundings, UsageError
from imagekit.gathered import Gathered
from imagekit.lock.model import Lock, Package
from imagekit.oci import layer as layers
from imagekit.oci.image import Stacked
from imagekit.oci.installed import File
from imagekit.oci.kept import kept
from imagekit.profile import Wishes, load
from imagekit.site import Site

Run = Callable[..., tuple[int, str, str]]

SIX, TORCH, PIP = standins.Wheel("six", "1.17.0"), standins.torch(), standins.Wheel("pip", "25.0")
OWN = standins.Wheel("acme-clip", "1.0")


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def site() -> Site:
    return pipeline.the_site(None)


def locked(*more: Package) -> Lock:
    rows = [
        samples.package(one.name, one.version, file=one.file, sha256=samples.sha256(one.content()))
        for one in (PIP, SIX, TORCH)
    ]
    return samples.lock().model_copy(
        update={"packages": (*rows, *more), "build_requires": {one.name: () for one in more}}
    )


SDIST = samples.package(
    "acme-clip", "1.0", kind="sdist", file="acme-clip-1.0.tar.gz", git="https://acme.example/clip", commit="0" * 40
)


def got(lock: Lock, packages: Iterable[tuple[str, str]] = (("libc6", "2.36"),)) -> Gathered:
    """What a build would have gathered."""
    found = []
    for package in lock.packages:
        one = next(w for w in (PIP, SIX, TORCH, OWN) if w.name == package.name)
        digest = samples.sha256(one.content())
        path = wheels.store().add(one.file, digest, one.content)
        found.append(Wheel(package.name, package.version, "rest", digest, path))
    text = "".join(f"{name}={version}\n" for name, version in packages)
    entries = layers.entries([File("etc/packages", text.encode())])
    made = kept().take(samples.sha256(text), lambda out: layers.write(out, entries))
    base = System((Stacked(*made, "imagekit: a system"),), dict(packages))
    return Gathered(base, found, {"acme-clip": replace(base, packages={"gcc": "12", **dict(packages)})})


def fetched(
    monkeypatch: pytest.MonkeyPatch, site: Site, folder: Path, lock: Lock, *packages: tuple[str, str]
) -> Bundle:
    monkeypatch.setattr(gathered, "gather", lambda *_, **__: got(lock, packages or (("libc6", "2.36"),)))
    with pack.writing(folder) as there:
        return pack.add(load("tiny"), lock, site, there, lambda *_: None)


def unpacked(there: Bundle, lock: Lock) -> Gathered:
    held, found = there.answer(lock.resolution)
    assert found == lock
    context = pipeline.rendered(load("tiny"), lock, dialect="classic")
    return unpack.gather(there, held, context, lock, kept(), lambda *_: None)


def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))


def test_what_goes_in_comes_out(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    lock = locked(SDIST)
    before = got(lock)
    there = fetched(monkeypatch, site, tmp_path / "bundle", lock)
    assert bundle.opened(tmp_path / "bundle") == there
    apart(monkeypatch, tmp_path)
    after = unpacked(there, lock)
    assert after.base.packages == before.base.packages and after.base.id == before.base.id
    assert [(w.name, w.sha256, w.path.read_bytes()) for w in after.wheels] == [
        (w.name, w.sha256, w.path.read_bytes()) for w in before.wheels
    ]
    assert all(wheel.path.is_relative_to(scratch.cache()) for wheel in after.wheels)
    shutil.rmtree(tmp_path / "bundle/wheels")
    assert unpacked(there, lock).wheels == after.wheels  # what was taken over is known


def test_the_table_for_a_mirror(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked(SDIST))
    text = (tmp_path / "bundle" / bundle.MIRROR).read_text()
    assert text == mirror.table([(there.images[0], there.lock_of(there.images[0]))])
    rows = [line.split("\t") for line in text.splitlines()]
    assert {len(row) for row in rows} == {6}
    assert [row[:4] for row in rows if row[0] == "deb"] == [
        ["deb", "bookworm", "gcc", "12"],
        ["deb", "bookworm", "libc6", "2.36"],
    ]
    assert ["git", "https://acme.example/clip", "acme-clip", "1.0", "", "0" * 40] in rows
    assert ["tool", "pypi", "uv", "0.9.10", "", samples.sha256("uv")] in rows


def test_a_newer_fetch_takes_the_place_of_the_older(
    monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    fetched(monkeypatch, site, folder, locked(SDIST))
    before = set(folder.rglob("*"))
    there = fetched(monkeypatch, site, folder, locked(), ("libc6", "2.37"))
    assert len(there.images) == 1 and there.images[0].packages == {"libc6": "2.37"}
    gone = {path.name for path in before - set(folder.rglob("*"))}
    assert OWN.file in gone and len(list((folder / "blobs").iterdir())) == 1
    assert {path.name for path in (folder / "wheels").rglob("*.whl")} == {PIP.file, SIX.file, TORCH.file}


def test_nothing_is_left_of_a_fetch_that_failed(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    def fails(*_: object, **__: object) -> Gathered:
        raise KeyboardInterrupt

    monkeypatch.setattr(gathered, "gather", fails)
    for folder in (tmp_path / "new", tmp_path / "empty"):
        if folder.name == "empty":
            folder.mkdir()
        with pytest.raises(KeyboardInterrupt), pack.writing(folder) as there:
            pack.add(load("tiny"), locked(), site, there, lambda *_: None)
    assert not (tmp_path / "new").exists() and list((tmp_path / "empty").iterdir()) == []
    there = fetched(monkeypatch, site, tmp_path / "old", locked())
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    monkeypatch.setattr(pack, "_document", fails)
    with pytest.raises(KeyboardInterrupt):
        fetched(monkeypatch, site, tmp_path / "old", locked(SDIST), ("libc6", "3"))
    left = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    assert left.keys() == before.keys() and bundle.opened(tmp_path / "old") == there


def test_where_it_does_not_write(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    for name, text in (("full/thesis.tex", "mine"), ("file", "a file")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError), pack.writing(tmp_path / name.partition("/")[0]):
            pass
        assert (tmp_path / name).read_text() == text
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked())
    with (there.folder / pack.MARK).open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        with pytest.raises(Surroundings, match="another imagekit writes to"), pack.writing(there.folder):
            pass
    (there.folder / bundle.FACTS).write_text("{}")
    with pytest.raises(UsageError, match="made from other facts"), pack.writing(there.folder):
        pass
    (tmp_path / "plain").write_text("")
    with pytest.raises(Surroundings, match="cannot be written"), pack.writing(tmp_path / "plain/below"):
        pass


def test_every_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    lock = locked()
    there = fetched(monkeypatch, site, tmp_path / "bundle", lock)
    files = [*there.folder.glob("wheels/*/*/*.whl"), *there.folder.glob("blobs/*")]
    for path in files:
        path.write_bytes(b"x" * path.stat().st_size)
    apart(monkeypatch, tmp_path)
    with pytest.raises(Surroundings) as raised:
        unpacked(there, lock)
    assert len(files) == 4 and all(path.name in str(raised.value) for path in files)
    assert not list(scratch.cache().glob("wheels/*/*/*.whl")) and not list(scratch.cache().glob("layers/blobs/*"))
    for path in files:
        path.unlink()
    with pytest.raises(Surroundings) as raised:
        unpacked(there, lock)
    assert all(f"{path.name} is not there" in str(raised.value) for path in files)


def test_a_fetch_mends_what_is_damaged(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked())
    files = [*there.folder.glob("wheels/*/*/*.whl"), *there.folder.glob("blobs/*")]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.write_bytes(b"x" * path.stat().st_size)
    fetched(monkeypatch, site, tmp_path / "bundle", locked())
    assert [path.read_bytes() for path in files] == before
    (there.folder / bundle.DOCUMENT).write_text("{")
    with pytest.raises(UsageError, match="cannot be read"), pack.writing(there.folder):
        pass
    assert all(path.is_file() for path in files)


def test_what_a_layer_unpacks_to_is_compared_too(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked())
    row = json.loads((there.folder / bundle.DOCUMENT).read_text())["images"][0]["layers"][0]
    _document(there.folder, layers=[{**row, "diff_id": "0" * 64}])
    apart(monkeypatch, tmp_path)
    with pytest.raises(Surroundings, match="is not what bundle.json says of it"):
        unpacked(bundle.opened(there.folder), locked())


def test_a_lock_with_a_path_in_it(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked())
    path = there.lock_path(there.images[0])
    path.write_text(path.read_text().replace(SIX.file, "../../../layers/keys/x.json"))
    with pytest.raises(UsageError, match="is not a lock of this imagekit"):
        there.lock_of(there.images[0])


def _document(folder: Path, **changes: Any) -> None:
    path = folder / bundle.DOCUMENT
    row = json.loads(path.read_text())
    row["images"][0] |= changes
    path.write_text(json.dumps(row))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lock": "locks/../../etc/passwd.json"}, "images.0.lock"),
        ({"lock": "locks/tiny/../x.json"}, "images.0.lock"),
        ({"built": {"six": {"file": "../../x.whl", "sha256": "0" * 64}}}, "images.0.built.six.file"),
        ({"built": {"six": {"file": "x.whl", "sha256": "../" + "0" * 61}}}, "images.0.built.six.sha256"),
        ({"digest": "0" * 63}, "images.0.digest"),
        ({"layers": [{"digest": "x"}]}, "images.0.layers.0.digest"),
        ({"unknown": 1}, "images.0.unknown"),
    ],
)
def test_a_document_that_is_not_as_it_should_be(
    monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    fetched(monkeypatch, site, tmp_path / "bundle", locked())
    _document(tmp_path / "bundle", **changes)
    with pytest.raises(UsageError, match="is damaged") as raised:
        bundle.opened(tmp_path / "bundle")
    assert any(detail.startswith(told) for detail in raised.value.details)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null", '{"version": 2, "imagekit": "9.9"}', "\0", "3"])
def test_what_is_no_bundle(tmp_path: Path, text: str) -> None:
    (tmp_path / bundle.DOCUMENT).write_text(text)
    with pytest.raises(UsageError):
        bundle.opened(tmp_path)


def test_what_is_asked_has_to_be_what_was_fetched(monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path) -> None:
    there = fetched(monkeypatch, site, tmp_path / "bundle", locked())
    with pytest.raises(UsageError, match="has nothing for locks/tiny/2.5.1"):
        there.answer(resolve(load("tiny"), Wishes(torch="2.5.1", cuda="12.1")))
    resolution = locked().resolution
    with pytest.raises(UsageError, match="was fetched for another .*: apt changed"):
        there.answer(resolution.model_copy(update={"apt": ("git",)}))
    own = resolution.model_copy(update={"env": {"A": "B"}})
    assert there.answer(own)[1].resolution == own and there.answer(own)[1].packages == locked().packages
    with pytest.raises(UsageError, match="has no base docker.io/x"):
        there.look("docker.io/x")
    path = there.lock_path(there.images[0])
    path.write_text(path.read_text().replace("1.17.0", "1.17.1"))
    with pytest.raises(UsageError, match="is not as it was written"):
        there.answer(locked().resolution)
    assert there.facts() == facts.load()
    (there.folder / bundle.FACTS).write_text("{")
    with pytest.raises(Error, match="facts.json cannot be read"):
        there.facts()


def test_what_a_build_offline_does_not_take(run: Run, tmp_path: Path) -> None:
    call = ("build", "tiny", "--offline", str(tmp_path / "none"))
    code, _, said = run(*call)
    assert code == 2 and "--output oci:DIR" in said
    code, _, said = run(
        *call, "--output", "oci:out", "--upgrade", "--newest", "--allow-unknown", "--upgrade-package", "six"
    )
    assert code == 2 and all(f"--{name} asks a network" in said for name in ("upgrade", "newest", "allow-unknown"))
    code, _, said = run(*call, "--output", "oci:out", "--engine", "buildkit")
    assert code == 2 and "--offline composes, and --engine buildkit does not" in said
    code, _, said = run("build", "tiny", "--offline", "", "--output", "oci:out")
    assert code == 2 and "--offline names no bundle" in said
    code, _, said = run(*call, "--output", "oci:out")
    assert code == 2 and "is no bundle" in said and "imagekit fetch" in said
    code, _, said = run("build", "tiny", "vision", "--offline", str(tmp_path / "none"))
    assert code == 2 and "one profile at a time" in said
    code, _, said = run("fetch", "tiny", "--to", str(tmp_path / "new"), "--allow-unknown")
    assert code == 2 and "asks an index" in said
    code, _, said = run("fetch", "tinny", "visoin", "--to", str(tmp_path / "new"))
    assert code == 2 and "tinny" in said and "visoin" in said
    assert not (tmp_path / "new").exists()
