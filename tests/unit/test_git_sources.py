"""`sources:` in profiles, overlays and requirements files: what is taken, what it becomes, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples
import update

from imagekit import project, render
from imagekit.built import key
from imagekit.compat.resolve import resolve
from imagekit.compat.sources import ENV
from imagekit.errors import Error, ImpossibleWish, UsageError
from imagekit.lock import model as locks
from imagekit.lock import sources
from imagekit.lock.sources import Archive
from imagekit.plan import plan
from imagekit.profile import Profile, Wishes, load
from imagekit.resolution import Resolution

URL = "https://git.example/acme/clip.git"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def profile(text: str, **more: str) -> Profile:
    for name, content in more.items():
        Path(f"{name}.yaml").write_text(content)
    Path("mine.yaml").write_text(f"extends: tiny\n{text}")
    overlays = tuple(f"{name}.yaml" for name in more if name.startswith("acme"))
    return load("./mine.yaml", overlays)


def source(more: str = "", ref: str = "main", name: str = "acme-clip") -> str:
    return f"sources:\n  {name}: {{git: {URL}, ref: {ref}{more}}}\n"


def resolved(text: str, **more: str) -> Resolution:
    return resolve(profile(text, **more), Wishes())


def refused(text: str, **more: str) -> str:
    with pytest.raises(Error) as error:
        resolved(text, **more)
    return str(error.value)


def test_a_source_is_a_package_with_a_recipe() -> None:
    r = resolved(source(", version: '1.0', requires: [six], apt_build: [g++], build_requires: [setuptools <81]"))
    (asked,), (build,) = r.sources, r.builds
    assert (asked.package, asked.git, asked.ref, asked.version) == ("acme-clip", URL, "main", "1.0")
    assert asked.requires == ("six",) and asked.build_requires == ("setuptools <81",) and asked.why == "profile mine"
    assert (build.package, build.requires, build.apt_build, build.env) == ("acme-clip", ("six",), ("g++",), ENV)
    assert "acme-clip" in [want.requirement for want in r.wants]


def test_nothing_else_knows_of_them() -> None:
    """Locks and keys of profiles without a git source are those of before."""
    lock = samples.lock()
    assert "sources" not in locks.dump(lock) and "commit" not in locks.dump(lock)
    assert "sources" in locks.stale(lock, resolved(source()))


def test_a_recipe_of_the_facts_counts_for_a_checkout_too() -> None:
    (build,) = resolved(source(", requires: [], apt_build: [libaio-dev]", name="DeepSpeed")).builds
    assert build.env == {**ENV, "DS_BUILD_OPS": "0"} and build.requires == () and build.apt_build == ("libaio-dev",)


@pytest.mark.parametrize(("entry", "says"), [
    ("git: https://me:pw@git.example/a", "credential helper"), ("git: https://me@git.example/a", "credential helper"),
    ("git: ssh://git:pw@git.example/a", "credential helper"), ("git: file:///srv/a", "https, http or ssh"),
    ("git: git@git.example:a/b", "https, http or ssh"), ("git: 'ext::sh -c id'", "https, http or ssh"),
    ("git: https://git.example/$(id)", "https, http or ssh"), ("git: 'https://-oProxy/a'", "not the address"),
    ("ref: --upload-pack=id", "not the name"), ("ref: a..b", "not the name"), ("ref: 1.0", "in quotes"),
    ("version: 1.0", "in quotes"), ("version: one", "PEP 440"), ("requires:", "is empty"), ("requires: ['six >=']", "PEP 508"),
    ("apt_build: [-y]", "distribution package"), ("branch: main", "branch"),
])  # fmt: skip
def test_entries_that_are_refused(entry: str, says: str) -> None:
    key = entry.partition(":")[0]
    lines = [line for line in (f"git: {URL}", "ref: main") if not line.startswith(f"{key}:")]
    message = refused("sources:\n  acme:\n" + "".join(f"    {line}\n" for line in [*lines, entry]))
    assert says in message and f"sources.acme.{key}" in message and "pw" not in message


@pytest.mark.parametrize("entry", [
    "git: ssh://git@git.example/a/b.git", "git: http://git.example:8080/a/~b", f"ref: {COMMIT}", "ref: release/v1.0+cu121",
    "version: 1.0+cu121", "requires: []",
])  # fmt: skip
def test_entries_that_are_taken(entry: str) -> None:
    key = entry.partition(":")[0]
    lines = [line for line in (f"git: {URL}", "ref: main") if not line.startswith(f"{key}:")]
    assert resolved("sources:\n  acme:\n" + "".join(f"    {line}\n" for line in [*lines, entry])).sources


def test_ref_is_required_and_all_problems_are_told_at_once() -> None:
    message = refused(f"sources:\n  torch: {{git: {URL}, ref: main}}\n  acme: {{git: {URL}}}\napt: [BAD]\n")
    assert "chosen by imagekit" in message and "sources.acme.ref" in message and "apt.0" in message


def test_a_package_has_one_origin() -> None:
    assert "mine.yaml:3: sources: Six is in packages" in refused(f"{source(name='Six')}packages: [six ==1.17]\n")
    Path("parent.yaml").write_text(f"extends: tiny\npackages: [acme-tool]\n{source()}")
    Path("mine.yaml").write_text("extends: ./parent.yaml\npackages: [acme-clip ==2]\n" + source(name="acme_tool"))
    child = load("./mine.yaml")
    assert list(child.sources) == ["acme_tool"] and "acme-clip ==2" in child.packages
    assert "acme-tool" not in child.packages
    Path("mine.yaml").write_text("extends: ./parent.yaml\nremove: [acme-clip]\n")
    assert load("./mine.yaml").sources == {}


def test_a_url_in_packages_leads_to_sources() -> None:
    message = refused(f"packages: ['acme-clip @ git+{URL}@main']\n")
    assert "sources:" in message


def test_an_overlay_adds_a_source_and_changes_none() -> None:
    r = resolved("", acme=source(", requires: []"))
    assert r.sources[0].why == "overlay acme" and "acme-clip" in [want.requirement for want in r.wants]
    assert resolved(source(), acme=source()).sources[0].why == "profile mine"
    assert "acme.yaml:2: acme-clip is in the way of mine.yaml:3" in refused(source(), acme=source(ref="v2"))
    assert "from an index" in refused("packages: [acme-clip]\n", acme=source())
    assert "packages" in refused("", acme=f"packages: [toolz]\n{source(name='toolz')}")


def lines(text: str) -> list[project.Line]:
    Path("requirements.txt").write_text(text)
    return project.requirements(Path(), ["requirements.txt"], "3.11")


@pytest.mark.parametrize("line", [
    f"Acme_Clip @ git+{URL}@v1", f"git+{URL}@v1#egg=acme-clip", f"acme-clip@git+{URL}@v1  # why",
])  # fmt: skip
def test_lines_of_requirements_files(line: str) -> None:
    (found,) = lines(line)
    assert (found.name, found.git, found.ref) == ("acme-clip", URL, "v1")
    (asked,) = resolved("requirements: [requirements.txt]\n").sources
    assert (asked.package, asked.git, asked.ref, asked.why) == ("acme-clip", URL, "v1", "file requirements.txt")
    (asked,) = resolved("requirements: [requirements.txt]\n" + source(", version: '1.0'", "v1")).sources
    assert asked.version == "1.0"
    assert "v1: mine.yaml:4 has" in refused("requirements: [requirements.txt]\n" + source())


def test_the_user_of_an_ssh_line_is_no_ref() -> None:
    assert lines("acme @ git+ssh://git@git.example/a/b@v1")[0].git == "ssh://git@git.example/a/b"
    with pytest.raises(UsageError, match="without a tag"):
        lines("acme @ git+ssh://git@git.example/a/b")


@pytest.mark.parametrize(("line", "says"), [
    (f"git+{URL}@v1", "without a package"), (f"acme @ git+{URL}", "without a tag"), (f"acme @ git+{URL}@", "not the name"),
    (f"acme @ git+{URL}@v1#subdirectory=a", "a whole repository"), (f"acme[x] @ git+{URL}@v1", "extras"),
    (f"acme @ git+{URL}@v1 ; python_version < '3'", "extras or a marker"),
    ("acme @ git+https://me:pw@git.example/a@v1", "credential"), (f"acme @ git+{URL}@v1 --hash=sha256:" + "a" * 64, "hash"),
    (f"torch @ git+{URL}@v1", "chosen by imagekit"), (f"acme @ git+{URL}@v1\nacme==1", "requirements.txt:1 has acme @ git+"),
])  # fmt: skip
def test_lines_that_are_refused(line: str, says: str) -> None:
    Path("requirements.txt").write_text(f"{line}\n")
    message = refused("requirements: [requirements.txt]\n")
    assert says in message and "me:pw" not in message


def a_lock(version: str = "1.0", sha256: str = "a" * 64) -> locks.Lock:
    lock = samples.lock()
    r = resolved(source(", requires: []"))
    package = samples.package(
        "acme-clip", version, kind="sdist", file=f"acme-clip-{COMMIT}.tar", sha256=sha256, index="", git=URL, ref="main",
        commit=COMMIT,
    )  # fmt: skip
    update = {
        "resolution": r, "packages": (package, samples.package("pip", "26.0"), *lock.packages),
        "build_requires": {"acme-clip": ()},
    }  # fmt: skip
    return lock.model_copy(update=update)


@pytest.mark.parametrize("dialect", ["buildkit", "classic"])
def test_the_context_has_the_archive_and_no_address(dialect: str) -> None:
    context = render.context(a_lock(), dialect=dialect)
    place = f"sources/acme-clip/acme-clip-{COMMIT}.tar"
    assert context.wheels[place].sha256 == "a" * 64
    line = context.files["sources/acme-clip/source.txt"].content.decode()
    assert line == f"acme-clip @ file:///build/acme-clip-{COMMIT}.tar --hash=sha256:{'a' * 64}\n"
    assert "SETUPTOOLS_SCM_PRETEND_VERSION=1.0" in context.dockerfile and COMMIT in context.dockerfile
    assert "git.example" not in context.dockerfile and "git " not in context.dockerfile


def test_what_a_source_is_made_of_is_in_the_keys() -> None:
    rows = [a_lock(), a_lock("1.1"), a_lock(sha256="b" * 64)]
    assert len({plan(lock, {}).key for lock in rows}) == 3
    assert len({key(lock, lock.packages[0], "base") for lock in rows}) == 3


def archive(r: Resolution, version: str = "1.0") -> Archive:
    return Archive(r.sources[0], COMMIT, Path("/store/file.tar"), "a" * 64, version, ("six",))


def test_what_pyproject_toml_says_is_resolved_and_the_lock_keeps_what_was_asked() -> None:
    r = resolved(source())
    told = sources.told(r, (archive(r),))
    assert told.builds[0].requires == ("six",) and r.builds[0].requires == ()
    found = sources.row(samples.package("acme-clip", "1.0"), (archive(r),))
    assert (found.git, found.ref, found.commit, found.index) == (URL, "main", COMMIT, "")


def test_another_version_than_somebody_asks_for() -> None:
    r = resolve(profile(source()), Wishes(packages=("acme-clip >=2",)))
    with pytest.raises(ImpossibleWish, match="not what is asked") as error:
        sources.check(r.wants, (archive(r),))
    assert "--with: acme-clip >=2" in str(error.value) and "1.0" in str(error.value)
    sources.check(r.wants, (archive(r, "2.1"),))


def test_golden() -> None:
    path = Path(update.__file__).parent / "tiny-git/Dockerfile"
    assert update.with_a_git_source() == path.read_text(), "if that is meant: make golden, and review the diff"
