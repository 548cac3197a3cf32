"""A repository by its name: over TLS, and without it only on this machine and where somebody said so."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

import requests

from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.oci.wire import CONNECT, Wire


def to(reference: Reference, ca: str = "", proxy: str = "", without_tls: Collection[str] = ()) -> Repository:
    """`ca`: path of a CA bundle; `proxy`: address of the one that applies to this host; `without_tls`: HOST[:PORT]."""
    plain = reference.host in without_tls or (loopback(reference.host) and _speaks_plainly(reference.host))
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    return Repository(Wire(reference.host, plain=plain, ca=ca, proxies=proxies), reference.repository)


def loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if host.count(":") == 1 or host.startswith("[") and "]:" in host else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _speaks_plainly(host: str) -> bool:
    """Whether what listens on this machine answers without TLS. A server with TLS answers 400, or not at all."""
    session = requests.Session()
    session.trust_env = False
    try:
        with session.get(f"http://{host}/v2/", timeout=CONNECT, allow_redirects=False, stream=True) as answer:
            return answer.status_code != 400
    except requests.RequestException:
        return False
