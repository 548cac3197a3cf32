"""git itself, with a repository of this machine: refs, commits, archives, and what goes wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import repositories
import samples
from repositories import Repository

from imagekit import fetch, scratch
from imagekit import site as sites
from imagekit.errors import Surroundings, UsageError
from imagekit.lock import git, sources
from imagekit.lock.model import Lock, Package
from imagekit.lock.sources import Archive
from imagekit.resolution import GitSource
from imagekit.site import Site
from imagekit.wheels import Store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with repositories.served(tmp_path / "repository") as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "imagekit.toml").write_text("")
    return sites.load(tmp_path / "imagekit.toml", {})


class Desk:
    """Locking of one git source, again and again."""

    def __init__(self, repository: Repository, site: Site, store: Store) -> None:
        self.url, self.site, self.store = repository.url, site, store
        self.said: list[str] = []

    def lock(self, ref: str = "main", old: Archive | None = None, *, fresh: bool = False, **more: object) -> Archive:
        source = GitSource(package="acme-clip", git=self.url, ref=ref, why="a test", **more)  # type: ignore[arg-type]
        resolution = samples.lock().resolution.model_copy(update={"sources": (source,)})
        previous = samples.lock().model_copy(update={"packages": (self.package(old),)}) if old else None
        (found,) = sources.archives(resolution, previous, lambda _: fresh, self.site, self.store, self.said.append)
        return found

    def package(self, archive: Archive) -> Package:
        return samples.package(
            "acme-clip", archive.version, kind="sdist", file=archive.path.name, sha256=archive.sha256, index="",
            git=archive.source.git, ref=archive.source.ref, commit=archive.commit,
        )  # fmt: skip

    def empty(self) -> None:
        shutil.rmtree(self.store.folder)


@pytest.fixture
def desk(repository: Repository, site: Site, tmp_path: Path) -> Desk:
    return Desk(repository, site, Store(tmp_path / "store"))


def names(archive: Archive) -> list[str]:
    with tarfile.open(archive.path) as tar:
        return [member.name.partition("/")[2] for member in tar]


def test_branches_tags_and_commits(repository: Repository, site: Site) -> None:
    first = repository.package("1.0")
    repository.tag("v1", "--annotate", "--message=one")
    repository.git("branch", "v1")
    second = repository.package("2.0")
    assert git.resolve(repository.url, "main", site) == git.Found(second, False)
    assert git.resolve(repository.url, "v1", site) == git.Found(first, True)  # the commit, not the annotated tag
    assert git.resolve(repository.url, "refs/heads/v1", site) == git.Found(first, False)
    assert git.resolve(repository.url, first, site) == git.Found(first, False)
    assert git.resolve(repository.url, "mai", site) is None


def test_a_source_is_locked_by_its_commit_and_bytes(repository: Repository, desk: Desk) -> None:
    commit = repository.package("1.0", '"six >=1.16"')
    found = desk.lock()
    assert (found.commit, found.version, found.requires) == (commit, "1.0", ("six >=1.16",))
    assert found.path.name == f"acme-clip-{commit}.tar" and desk.store.find(found.sha256) == found.path
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    assert desk.lock(commit).sha256 == found.sha256
    assert scratch.cache().joinpath("tmp").is_dir() and not list(scratch.cache().joinpath("tmp").iterdir())


def test_no_settings_of_a_user_change_the_bytes(
    repository: Repository, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {
        ".gitattributes": "hidden export-ignore\nsays export-subst\n*.py eol=crlf filter=shout\n",
        "hidden": "is here\n", "says": "$Format:%H %D$\n", "a.py": "a = 1\n",
    }  # fmt: skip
    repository.commit(odd)
    repository.package("1.0")
    plain = desk.lock()
    config = tmp_path / "config"
    config.write_text('[tar]\n\tumask = 0777\n[core]\n\tautocrlf = true\n[filter "shout"]\n\tsmudge = tr a-z A-Z\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))  # as in a hook of git
    desk.empty()
    os.umask(os.umask(0o077))
    assert desk.lock().sha256 == plain.sha256
    with tarfile.open(desk.lock().path) as tar:
        texts = {m.name.partition("/")[2]: tar.extractfile(m).read().decode() for m in tar if m.isreg()}  # type: ignore[union-attr]
    assert {name: texts[name] for name in odd} == odd


def test_a_lock_keeps_its_commit_until_told_to_upgrade(repository: Repository, desk: Desk) -> None:
    repository.package("1.0")
    old = desk.lock()
    new = repository.package("2.0")
    assert desk.lock(old=old) == old and desk.said == []
    desk.empty()
    assert desk.lock(old=old) == old and old.path.is_file()
    assert desk.lock(old=old, fresh=True).commit == new
    assert desk.lock(repository.git("rev-parse", "HEAD^"), old).commit == old.commit
    assert desk.lock("refs/heads/main", old).commit == new  # another ref was asked


def test_a_tag_that_moved_is_told(repository: Repository, desk: Desk) -> None:
    repository.package("1.0")
    repository.tag("v1")
    old = desk.lock("v1")
    new = repository.package("1.1")
    repository.tag("v1")
    assert desk.lock("v1", old).commit == old.commit
    assert len(desk.said) == 1 and f"tag v1 moved to {new[:12]}" in desk.said[0] and old.commit[:12] in desk.said[0]
    assert desk.lock("v1", old, fresh=True).commit == new
    repository.git("tag", "--delete", "v1")
    repository.publish()
    assert desk.lock("v1", old).commit == old.commit and "has no v1 any more" in desk.said[1]


def test_a_repository_that_is_away_matters_only_for_what_is_not_here(desk: Desk, repository: Repository) -> None:
    repository.package("1.0")
    old = desk.lock()
    (repository.folder / ".git/info/refs").unlink()
    (repository.folder / ".git/HEAD").unlink()
    assert desk.lock(old=old) == old and "not asked whether main moved" in desk.said[0]
    with pytest.raises(Surroundings, match="there is no repository"):
        desk.lock(old=old, fresh=True)


def test_a_commit_that_is_gone(repository: Repository, desk: Desk) -> None:
    repository.commit({"README": "first\n"})
    repository.package("1.0")
    old = desk.lock()
    repository.forget(old.commit)
    new = repository.package("1.1")
    assert desk.lock(old=old) == old  # it is in the store
    desk.empty()
    with pytest.raises(Surroundings) as error:
        desk.lock(old=old)
    text = str(error.value)
    assert f"the locked commit {old.commit} of main is no longer in the repository; main is now {new}" in text
    assert "imagekit lock --upgrade-package acme-clip" in text
    with pytest.raises(Surroundings, match="no longer in the repository"):
        sources.restore(desk.package(old), desk.site, desk.store)
    with pytest.raises(Surroundings, match=f"has no commit {old.commit}"):
        desk.lock(old.commit)


def test_a_context_gets_its_archive_again(repository: Repository, desk: Desk) -> None:
    repository.package("1.0")
    package = desk.package(desk.lock())
    desk.empty()
    lines: list[str] = []
    lock: Lock = samples.lock()
    placed = fetch.into(desk.store, {"sources/acme-clip/a.tar": package}, {}, lock, desk.site, lines.append)
    assert placed == {"sources/acme-clip/a.tar": package} and desk.store.find(package.sha256) and len(lines) == 1
    desk.empty()
    other = package.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(Surroundings, match="other bytes than when it was locked"):
        sources.restore(other, desk.site, desk.store)


def test_one_commit_alone_from_a_server_that_can(
    repository: Repository, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same bytes as from one that cannot; a commit that is gone is told in the same words."""
    repository.commit({"README": "first\n"})
    old = desk.lock(repository.package("1.0"))
    new = desk.lock(repository.package("1.1"))
    calls: list[list[str]] = []
    run = git._run
    monkeypatch.setattr(git, "_run", lambda arguments, env: calls.append(arguments) or run(arguments, env))
    desk.empty()
    with repositories.smart(repository) as desk.url:
        assert desk.lock(old.commit).sha256 == old.sha256
        assert desk.lock().sha256 == new.sha256
        fetches = [call for call in calls if "fetch" in call]
        assert len(fetches) == 2 and all("--depth=1" in call for call in fetches)
        repository.forget(new.commit)
        with pytest.raises(Surroundings, match=f"has no commit {new.commit}"):
            desk.lock(new.commit)


def test_what_has_to_be_said_in_the_profile(repository: Repository, desk: Desk) -> None:
    repository.commit({"setup.py": "raise SystemExit('nobody runs this')\n"})
    with pytest.raises(UsageError) as error:
        desk.lock()
    assert "write version:" in str(error.value) and "write requires:" in str(error.value)
    found = desk.lock(version="1.0", requires=("six",))
    assert (found.version, found.requires) == ("1.0", ("six",))
    assert desk.lock(version="1.0", requires=()).requires == ()


@pytest.mark.parametrize(("project", "more", "says"), [
    ('name = "other"\nversion = "1"', {}, "calls it other"), ('name = "acme_clip"\nversion = "x"', {}, "which is none"),
    ('name = "acme-clip"\ndynamic = ["version"]', {}, "write version:"),
    ('name = "acme-clip"\nversion = "1"\ndynamic = ["dependencies"]', {}, "write requires:"),
    ('name = "acme-clip"\nversion = "1"', {"version": "2"}, "says 1"),
    ('name = "acme-clip"\nversion = "1"\ndependencies = ["a @ https://x.example/a.whl"]', {}, "write requires:"),
    ("name = ", {}, "cannot be read"),
])  # fmt: skip
def test_a_pyproject_that_does_not_do(
    repository: Repository, desk: Desk, project: str, more: dict[str, str], says: str
) -> None:
    repository.commit({"pyproject.toml": f"[project]\n{project}\n"})
    with pytest.raises(UsageError) as error:
        desk.lock(**more)
    assert says in str(error.value)


def test_a_version_from_the_history_is_told(repository: Repository, desk: Desk) -> None:
    repository.commit({"pyproject.toml": '[project]\nname = "acme-clip"\ndynamic = ["version"]\ndependencies = []\n'})
    assert desk.lock(version="1.02").version == "1.2"  # as the wheel will have it


def test_submodules_and_large_files_elsewhere(repository: Repository, desk: Desk) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    commit = repository.commit({"model.bin": pointer})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    repository.git("commit", "--quiet", "--message=with a submodule")
    repository.publish()
    with pytest.raises(UsageError) as error:
        desk.lock()
    assert "lib is a submodule" in str(error.value) and "model.bin is kept by git LFS" in str(error.value)


def test_a_ref_that_is_not_there(repository: Repository, desk: Desk) -> None:
    commit = repository.package()
    with pytest.raises(UsageError, match="no tag or branch v9"):
        desk.lock("v9")
    with pytest.raises(UsageError, match="40 digits"):
        desk.lock(commit[:7])


def test_nobody_is_asked_for_a_password(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_ASKPASS", str(tmp_path / "asks"))
    with samples.server(lambda _: (404, b""), login="me:pw") as url:
        with pytest.raises(Surroundings, match="asks for a login"):
            git.resolve(f"{url}/a.git", "main", site)
        helper = "!f() { echo username=me; echo password=pw; }; f"
        call = ["git", "config", "--file", str(tmp_path / "config"), "credential.helper", helper]
        subprocess.run(call, check=True)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
        with pytest.raises(Surroundings, match="there is no repository"):  # it got in
            git.resolve(f"{url}/a.git", "main", site)


def test_surroundings(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Surroundings, match="does not answer"):
        git.resolve("http://127.0.0.1:1/a.git", "main", site)
    cert, key = samples.certificate(tmp_path, "127.0.0.1")
    with samples.server(lambda _: (404, b""), (cert, key)) as url:
        with pytest.raises(Surroundings, match="certificate"):
            git.resolve(f"{url}/a.git", "main", site)
        trusting = sites.load(tmp_path / "imagekit.toml", {"SSL_CERT_FILE": str(cert)})
        with pytest.raises(Surroundings, match="there is no repository"):
            git.resolve(f"{url}/a.git", "main", trusting)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Surroundings, match="no git on this machine") as error:
        git.resolve("http://127.0.0.1:1/a.git", "main", site)
    assert "install git" in error.value.hint


def test_proxies_and_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imagekit.toml").write_text('[proxy]\nhttps = "http://proxy.example:3128"\nno_proxy = "a.example"\n')
    monkeypatch.setenv("ALL_PROXY", "http://other.example")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    env = git.environment(sites.load(tmp_path / "imagekit.toml", {}))
    assert (
        env["https_proxy"] == "http://proxy.example:3128" and env["no_proxy"] == "a.example" and "ALL_PROXY" not in env
    )
    assert env["GIT_SSH_COMMAND"] == "ssh -i key -oBatchMode=yes" and env["GIT_TERMINAL_PROMPT"] == "0"
