"""Running the host's git: what a ref is now, and the files of one commit as an archive with reproducible bytes.

Whom git logs in as is git's own business: its settings and credential helpers work, and it never asks. The CA bundle
and the proxies come from the site. What makes the archive sees none of git's settings.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from imagekit import scratch
from imagekit.errors import Surroundings
from imagekit.repository import is_commit
from imagekit.site import Site

TIMEOUT = 900
"""Seconds for one call; a large repository behind a slow proxy needs minutes."""

SILENCE = 60
"""Seconds without a byte."""

_PLACES = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE",
)  # fmt: skip
"""A hook of git has these set, and means its own repository."""

_LFS = b"version https://git-lfs.github.com/spec/"
"""What the file that stands for a large one begins with (git-lfs, docs/spec.md)."""


@dataclass(frozen=True)
class Found:
    commit: str
    """40 digits."""
    tag: bool


def resolve(url: str, ref: str, site: Site) -> Found | None:
    """What a ref of a repository is now; None where it has none of that name. A tag goes before a branch, as in git.

    Raises Surroundings.
    """
    if is_commit(ref):
        return Found(ref, False)
    names = [ref] if ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
    said = _remote(
        url, ["ls-remote", "--quiet", "--", url, *(part for name in names for part in (name, f"{name}^{{}}"))], site
    )
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
    for name in names:
        commit = commits.get(f"{name}^{{}}") or commits.get(name)  # what an annotated tag points to, not the tag itself
        if commit and is_commit(commit):
            return Found(commit, name.startswith("refs/tags/"))
    return None


def archive(url: str, commit: str, prefix: str, out: Path, site: Site) -> list[str] | None:
    """Write the files of a commit to `out` as `prefix`/...; the same commit gives the same bytes everywhere.

    The answer is what the archive lacks of the commit, one line each: submodules, files kept elsewhere. None where the
    repository does not have the commit. Raises Surroundings.
    """
    if not is_commit(commit):  # out of a lock that somebody wrote: git would take it for an option
        return None
    with scratch.folder("git") as folder:
        own = folder / "repository"
        _local(folder, ["init", "--quiet", "--bare", "--template=", str(own)])
        if not _fetch(own, url, commit, site):
            return None
        # nothing of the commit's own attributes: no file is left out, filtered or filled in
        (own / "info").mkdir(exist_ok=True)
        (own / "info/attributes").write_text(
            "* -export-ignore -export-subst -filter -ident -text -working-tree-encoding\n"
        )
        at = ["--git-dir", str(own)]
        listed = _local(folder, [*at, "ls-tree", "-r", "-z", commit]).split("\0")
        lacks = [f"{row.partition(chr(9))[2]} is a submodule" for row in listed if row.startswith("160000 ")]
        tar = ["-c", "tar.umask=0022", "archive", "--format=tar", f"--prefix={prefix}/", f"--output={out}", commit]
        _local(folder, [*at, *tar])
    return lacks + [f"{name} is kept by git LFS, outside of the repository" for name in _elsewhere(out)]


def _fetch(own: Path, url: str, commit: str, site: Site) -> bool:
    """The one commit where the server gives it, else everything that it has. Whether the commit is there."""
    at = ["--git-dir", str(own), "fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]
    try:
        _remote(url, [*at, "--depth=1", "--", url, commit], site)
    except Surroundings as error:
        if error.hint:
            raise
        # a server that cannot give one commit, or a commit that is gone: the second call tells
        refs = ["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"]
        _remote(url, [*at, "--", url, *refs], site)
    check = ["git", "--git-dir", str(own), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(check, env=_alone(own), capture_output=True, check=False).returncode == 0


def _elsewhere(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        small = [member for member in archive if member.isreg() and member.size < 1024]
        found = [
            m.name.partition("/")[2] for m in small if (f := archive.extractfile(m)) and f.read(40).startswith(_LFS)
        ]
    return found[:5]


def _remote(url: str, arguments: list[str], site: Site) -> str:
    settings = {
        "gc.auto": "0",
        "maintenance.auto": "false",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(SILENCE),
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    done = _run([*options, *arguments], environment(site))
    if done.returncode:
        raise _error(url, done.stderr)
    return done.stdout


def _local(folder: Path, arguments: list[str]) -> str:
    done = _run(arguments, _alone(folder))
    if done.returncode:
        raise Surroundings("git cannot read what it has just fetched", details=done.stderr.strip().splitlines()[-3:])
    return done.stdout


def _run(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise Surroundings(
            "there is no git on this machine, and the profile names a git repository",
            hint="install git (apt-get install git); nothing but locking and fetching needs it",
        ) from None
    except subprocess.TimeoutExpired:
        raise Surroundings(f"git took more than {TIMEOUT} s", hint="is the repository reachable?") from None


def environment(site: Site) -> dict[str, str]:
    """Of a git that talks to a repository: the user's, so that credential helpers work, and what the site says."""
    env = {key: value for key, value in os.environ.items() if key not in _PLACES}
    env = {key: value for key, value in env.items() if not re.fullmatch(r"(?i)(https?|all|no)_proxy", key)}
    for kind, value in site.proxy.items():
        env[kind if kind == "no_proxy" else f"{kind}_proxy"] = value
    if site.ca:
        env["GIT_SSL_CAINFO"] = site.ca
    ssh = env.get("GIT_SSH_COMMAND") or _ssh(env)
    return env | {
        "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never",
        "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes", "GIT_ALLOW_PROTOCOL": "http:https:ssh",
    }  # fmt: skip


def _ssh(env: dict[str, str]) -> str:
    """The setting that GIT_SSH_COMMAND would hide."""
    return _run(["config", "--get", "core.sshCommand"], env).stdout.strip() or "ssh"


def _alone(folder: Path) -> dict[str, str]:
    """No settings of a user or machine."""
    return {
        "PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
    }  # fmt: skip


_CAUSES = (
    (r"could not read (Username|Password)|terminal prompts disabled|Authentication failed|Permission denied"
     r"|error: 40[13]|Host key verification failed",
     "the repository {url} asks for a login that git has not, or does not exist",
     "git ls-remote {url} must work without asking: a credential helper, or ssh with an agent and a known host"),
    (r"certificate|SSL", "the certificate of {url} is not trusted",
     "name the CA bundle: tls.ca in imagekit.toml, or SSL_CERT_FILE; imagekit site shows what applies"),
    (r"epository .*not found|does not appear to be a git|error: 404",
     "there is no repository {url}", "check the address"),
    (r"resolve host|Failed to connect|Couldn't connect|Connection (refused|reset)|timed out|Operation too slow|Proxy"
     r"|error: 407|unreachable", "the repository {url} does not answer", "imagekit site shows the proxies"),
    (r"No space left", "no space left on this machine", "free some disk"),
)  # fmt: skip


def _error(url: str, stderr: str) -> Surroundings:
    """git's own words below ours, without what may be a password of the user's settings."""
    text = re.sub(r"//[^/@\s]*@", "//", stderr)
    tail = [line.strip() for line in text.splitlines() if line.strip()][-3:]
    for pattern, message, hint in _CAUSES:
        if re.search(pattern, text):
            return Surroundings(message.format(url=url), details=tail, hint=hint.format(url=url))
    return Surroundings(f"git cannot read the repository {url}", details=tail)
