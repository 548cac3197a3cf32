"""Requests to one registry: who we are, what is asked again and when, where a reply may send us.

OCI distribution specification 1.1; tokens as docs/content/spec/auth of distribution has them. What real registries do
besides is in the comments.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from imagekit.errors import Surroundings
from imagekit.oci import login as logins
from imagekit.oci.answers import AGAIN, ATTEMPTS, Refused, refusal, tls
from imagekit.oci.body import Pieces
from imagekit.oci.challenge import chosen, fields, pause
from imagekit.oci.login import Login

AUTHORIZED = 3
"""How often one request asks for a token: the first may end while it is on its way."""

CONNECT, ANSWER = 15.0, 60.0
"""Seconds to connect, and for an answer to begin; to these comes time for what is sent (`SLOWEST`)."""

SLOWEST = 2**20
"""Bytes per second that a registry must take to finish an upload: it hashes and moves what it got before it answers."""

TOKEN = 2**16
"""Bytes of an answer of a token server, at most."""

Body = Callable[[], Pieces]
"""Opens what is sent, from its beginning: it is sent again when a connection breaks."""


@dataclass
class Wire:
    """Connections to one registry; for several threads."""

    host: str
    plain: bool = False
    """HTTP without TLS."""
    ca: str = ""
    """Path of a CA bundle."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    find_login: Callable[[str], Login | None] = logins.find
    wait: Callable[[float], None] | None = None
    """For tests; otherwise what `give_up` ends."""
    _local: threading.local = field(default_factory=threading.local, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Scope -> Authorization."""
    _login: list[Login | None] = field(default_factory=list, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _sessions: list[requests.Session] = field(default_factory=list, repr=False)

    @property
    def top(self) -> str:
        return f"{'http' if self.plain else 'https'}://{self.host}"

    def rest(self, seconds: float) -> None:
        """Wait before it is asked again. Raises Surroundings when all was given up meanwhile."""
        if self.wait:
            self.wait(seconds)
        elif self._over.wait(seconds):
            raise Surroundings("given up")

    def give_up(self) -> None:
        """End what other threads wait for."""
        self._over.set()
        with self._lock:
            for session in self._sessions:
                session.close()

    def ask(
        self, method: str, path: str, scope: str, *, body: Body | bytes | None = None, size: int = 0,
        headers: Mapping[str, str] | None = None, stream: bool = False, fine: tuple[int, ...] = (),
        once: bool = False,
    ) -> requests.Response:  # fmt: skip
        """An answer with a status below 400, or one of `fine`. Raises Surroundings, or Refused for what stays so.

        `path`: from the root of the registry, or a URL that it gave. `scope`: as repository:ml/pytorch:pull,push.
        `once`: what broke is not sent again, but for a new token.
        """
        url = self.at(path)
        tried, authorized = 0, 0
        while True:
            tried += 1
            try:
                answer = self._send(method, url, scope, body, size, headers or {}, stream)
            except requests.RequestException as error:
                known = tls(self.host, error)
                if known:
                    raise known from None
                if once or tried >= ATTEMPTS:
                    raise Surroundings(
                        f"{self.host} broke off{'' if once else f' {tried} times'} ({_kind(error)})",
                        hint="is it up, and is its disk full?",
                    ) from None
                self.rest(pause(tried, ""))
                continue
            if answer.status_code == 401 and authorized < AUTHORIZED:
                authorized += 1  # also in the middle of a push: a token lives for minutes
                tried -= 1
                self._authorize(answer, scope)
                continue
            if answer.status_code in AGAIN and answer.status_code not in fine and tried < ATTEMPTS and not once:
                self.rest(pause(tried, answer.headers.get("Retry-After", "")))
                continue
            if answer.status_code < 400 or answer.status_code in fine:
                return answer
            raise refusal(self.host, method, answer)

    def at(self, path: str) -> str:
        """The URL of a path, or of a Location. Raises Surroundings for one that leads to another host."""
        own = urlsplit(self.top)
        try:
            parts = urlsplit(urljoin(f"{self.top}/", path))
            there = _host(parts)
        except ValueError:
            raise Surroundings(f"{self.host} sends to what is no address") from None
        if there != _host(own) and parts.netloc != own.netloc:
            raise Surroundings(
                f"{self.host} sends an upload to another host, {parts.hostname}; a login does not follow there",
                hint="is it behind a proxy that does not tell it its own name?",
            )
        return parts._replace(scheme=own.scheme, netloc=own.netloc).geturl()  # TLS may end at a proxy before it

    def _send(
        self, method: str, url: str, scope: str, body: Body | bytes | None, size: int, headers: Mapping[str, str],
        stream: bool,
    ) -> requests.Response:  # fmt: skip
        session = self._session()
        authorization = self._headers.get(scope)
        whole = {**headers, **({"Authorization": authorization} if authorization else {})}
        # urllib3 takes the first for sending, too: a registry may stop reading for a while
        patience = (ANSWER if callable(body) else CONNECT, ANSWER + size / SLOWEST)
        opened = body() if callable(body) else None
        try:
            answer = session.request(
                method, url, headers=whole, data=opened if callable(body) else body, timeout=patience,
                allow_redirects=False, stream=stream, verify=self.ca or True, proxies=dict(self.proxies) or None,
            )  # fmt: skip
            return self._followed(answer, headers, stream) if method in ("GET", "HEAD") else answer
        finally:
            if opened is not None:
                opened.close()

    def _followed(self, answer: requests.Response, headers: Mapping[str, str], stream: bool) -> requests.Response:
        """Blobs are often kept elsewhere. The login never goes there, and neither do we where nobody is to go.

        A 401 from there is final: what it asks for would go to whom it names.
        """
        for hop in range(5):
            if hop and answer.status_code == 401:
                answer.close()
                raise Refused(
                    f"{self.host} redirects to {urlsplit(answer.url).hostname}, which asks for a login (401); "
                    "a login does not follow there", 401, (),
                )  # fmt: skip
            if answer.status_code not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(answer.url, answer.headers.get("Location", ""))
            parts = urlsplit(url)
            if parts.scheme != "https" and not (self.plain and parts.scheme == "http"):
                raise Surroundings(f"{self.host} redirects to an address without TLS")
            if _inner(parts.hostname or "") and not _inner(urlsplit(self.top).hostname or ""):
                raise Surroundings(f"{self.host} redirects to an address of this machine or of its link")
            answer.close()
            answer = self._session().request(
                answer.request.method or "GET", url, headers=dict(headers), timeout=(CONNECT, ANSWER), stream=stream,
                allow_redirects=False, verify=self.ca or True, proxies=dict(self.proxies) or None,
            )  # fmt: skip
        raise Surroundings(f"{self.host} redirects in a circle")

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            made = requests.Session()
            made.trust_env = False
            made.headers["User-Agent"] = "imagekit"
            self._local.session = made
            with self._lock:
                self._sessions.append(made)
        return self._local.session  # type: ignore[no-any-return]

    def _authorize(self, answer: requests.Response, scope: str) -> None:
        """Do what a 401 asks for. Raises Refused where that cannot be done."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        answer.close()
        kind, rest = chosen(challenge)
        with self._lock:
            if not self._login:
                self._login.append(self.find_login(self.host))
            login = self._login[0]
        if kind.lower() == "basic" and login:
            self._headers[scope] = requests.auth._basic_auth_str(login.user, login.password)
        elif kind.lower() == "bearer":
            self._headers[scope] = f"Bearer {self._token(fields(rest), scope, login)}"
        else:
            raise Refused(f"{self.host} asks for a login", 401, (), hint=f"docker login {self.host}")

    def _token(self, fields: Mapping[str, str], scope: str, login: Login | None) -> str:
        realm = fields.get("realm", "")
        parts = urlsplit(realm)
        same = parts.hostname == urlsplit(self.top).hostname
        if parts.scheme != "https" and not (self.plain and parts.scheme == "http"):
            raise Surroundings(f"{self.host} sends to a token server without TLS")
        if not same and _inner(parts.hostname or "") and not _inner(urlsplit(self.top).hostname or ""):
            raise Surroundings(f"{self.host} sends to a token server on this machine or on its link")
        # some servers heed the first scope only, so it is asked for one at a time
        asked = {"service": fields.get("service", ""), "scope": scope}
        answer = self._token_answer(realm, asked, login)
        if answer.status_code in (401, 403):
            raise Refused(
                f"the token server of {self.host} refuses {'the login' if login else 'whoever has none'}",
                answer.status_code, (), hint=f"docker login {self.host}",
            )  # fmt: skip
        try:
            said = answer.json() if answer.ok and len(answer.content) <= TOKEN else {}
            token = said.get("token") or said.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Surroundings(f"the token server of {self.host} gives no token ({answer.status_code})")
        return token

    def _token_answer(self, realm: str, asked: Mapping[str, str], login: Login | None) -> requests.Response:
        options: dict[str, Any] = {
            "timeout": (CONNECT, ANSWER), "allow_redirects": False, "verify": self.ca or True,
            "proxies": dict(self.proxies) or None,
        }  # fmt: skip
        for tried in range(1, ATTEMPTS + 1):
            try:
                if login and login.token:
                    form = {
                        **asked,
                        "grant_type": "refresh_token",
                        "refresh_token": login.token,
                        "client_id": "imagekit",
                    }
                    answer = self._session().post(realm, data=form, **options)
                else:
                    auth = (login.user, login.password) if login else None
                    answer = self._session().get(realm, params=dict(asked), auth=auth, **options)
            except requests.RequestException as error:
                if tried == ATTEMPTS:
                    raise Surroundings(f"the token server of {self.host} does not answer ({_kind(error)})") from None
                self.rest(pause(tried, ""))
                continue
            if answer.status_code in AGAIN and tried < ATTEMPTS:
                self.rest(pause(tried, answer.headers.get("Retry-After", "")))
                continue
            return answer
        raise AssertionError("not reached")


def _host(parts: Any) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _inner(host: str) -> bool:
    """An address that means this machine, or one of its link: no registry elsewhere has a reason to send us there."""
    return host == "localhost" or bool(re.match(r"127\.|169\.254\.|0\.|\[?::1\]?$|\[?fe80:", host))


def _kind(error: Exception) -> str:
    return type(error).__name__
