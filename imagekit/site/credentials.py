"""Logins of indexes, by reference: a site names where a password is, never what it is.

A login is looked up when it is needed, once in a run. Messages name the reference and the index; never a host, never
the password.
"""

from __future__ import annotations

import contextlib
import netrc
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from imagekit.errors import Surroundings

TOKEN = "__token__"
"""The user of a login that is a token alone, as PyPI, GitLab and Artifactory take it."""

KEYRING_TIMEOUT = 60
"""Seconds: a keyring may ask its owner to unlock it."""


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)


def find(index: str, url: str, auth: str, user: str, environ: Mapping[str, str]) -> Login:
    """The login that `auth` (env:NAME, netrc, keyring) refers to. Raises Surroundings naming the reference."""
    kind, _, name = auth.partition(":")
    if kind == "env":
        login = _from_variable(index, name, user, environ)
    elif kind == "netrc":
        login = _from_netrc(index, url, environ)
    else:
        login = _from_keyring(index, url, user or TOKEN, environ)
    if not (login.user + login.password).isprintable():
        raise Surroundings(f"index {index}: the login of {auth!r} has a line break or a control character in it")
    return login


def _from_variable(index: str, name: str, user: str, environ: Mapping[str, str]) -> Login:
    value = environ.get(name, "").strip()
    if not value:
        raise Surroundings(
            f'index {index}: auth = "env:{name}", and ${name} is not set',
            hint=f"set {name} to user:password, or to a token",
        )
    if user:
        return Login(user, value.removeprefix(f"{user}:"))
    before, colon, after = value.partition(":")
    return Login(before, after) if colon else Login(TOKEN, value)


def _from_netrc(index: str, url: str, environ: Mapping[str, str]) -> Login:
    home = environ.get("HOME") or "/nonexistent"
    file = Path(environ.get("NETRC") or Path(home) / ".netrc")
    hint = "machine HOST login USER password PASSWORD, with the host of the index's URL"
    try:
        entry = netrc.netrc(str(file)).authenticators(urlsplit(url).hostname or "")
    except FileNotFoundError:
        raise Surroundings(f'index {index}: auth = "netrc", and there is no {file}', hint=hint) from None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"line {getattr(error, 'lineno', '?')} is wrong"
        raise Surroundings(f'index {index}: auth = "netrc", and {file} cannot be read: {reason}') from None
    if entry is None:
        raise Surroundings(f'index {index}: auth = "netrc", and {file} has no entry for this index\'s host', hint=hint)
    return Login(entry[0], entry[2] or "")


def _from_keyring(index: str, url: str, user: str, environ: Mapping[str, str]) -> Login:
    """As pip and uv ask the `keyring` command: by the URL of the index, then by its host."""
    program = shutil.which("keyring", path=environ.get("PATH"))
    if program is None:
        raise Surroundings(
            f'index {index}: auth = "keyring", and there is no keyring command',
            hint='pip install keyring, or write auth = "env:NAME" or "netrc"',
        )
    for service in (url, urlsplit(url).netloc):
        done = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [program, "get", service, user], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                env=dict(environ), timeout=KEYRING_TIMEOUT, check=False,
            )  # fmt: skip
        if done is None:
            raise Surroundings(f"index {index}: keyring gave no answer in {KEYRING_TIMEOUT} s", hint="unlock it first")
        if done.returncode == 0 and done.stdout.strip("\r\n"):
            return Login(user, done.stdout.rstrip("\r\n"))
    raise Surroundings(
        f'index {index}: auth = "keyring", and the keyring has no password for it',
        hint=f'keyring set URL-OF-THE-INDEX {user}; [indexes.{index}] user = "..." names another user',
    )
