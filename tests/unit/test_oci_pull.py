"""Reading from a registry: what breaks off goes on, and a login goes to nobody but the registry."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from registry_double import Asked, Fault, Registry, served
from small_images import target

from imagekit.errors import Surroundings
from imagekit.oci.answers import ATTEMPTS
from imagekit.oci.login import Login
from imagekit.oci.registry import Repository
from imagekit.oci.wire import Wire

CONTENT = bytes(range(256)) * 2**14
"""4 MB: of less, nothing may have been taken from a connection when it breaks."""

DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def there() -> Iterator[Registry]:
    with served(Registry(blobs={"ml/pytorch": {DIGEST: CONTENT}})) as made:
        yield made


def times(number: int) -> Callable[[Asked], Fault | None]:
    return lambda asked: Fault("truncated") if asked.number < number else None


def downloaded(there: Registry) -> bytes:
    out = io.BytesIO()
    target(there).download(DIGEST, out)
    return out.getvalue()


def test_a_blob_goes_on_where_it_broke(there: Registry) -> None:
    there.fault = times(2)
    assert downloaded(there) == CONTENT
    parts = [asked.headers.get("Range", "") for asked in there.asked]
    assert parts[0] == "" and parts[1].startswith("bytes=") and len(parts) == 3
    assert 2**20 <= int(parts[1][6:-1]) < int(parts[2][6:-1])


def test_a_blob_is_read_anew_where_no_parts_are_sent(there: Registry) -> None:
    there.ranges, there.fault = False, times(2)
    assert downloaded(there) == CONTENT and len(there.asked) == 3


def test_another_part_than_was_asked_for_is_not_taken(there: Registry) -> None:
    wrong = Fault("status", 206, (("Content-Range", "bytes 0-9/4194304"),))
    there.fault = lambda asked: wrong if asked.number == 1 else times(1)(asked)
    assert downloaded(there) == CONTENT and "Range" not in there.asked[2].headers


def test_a_blob_that_always_breaks_is_an_error(there: Registry) -> None:
    there.ranges, there.fault = False, times(1000)
    with pytest.raises(Surroundings, match=f"broke off {ATTEMPTS} times in the middle of a blob"):
        downloaded(there)
    assert len(there.asked) == ATTEMPTS


def test_other_bytes_are_refused_also_after_a_break(there: Registry) -> None:
    there.blobs["ml/pytorch"][DIGEST] = CONTENT[:-1] + b"x"
    there.fault = times(1)
    with pytest.raises(Surroundings, match="other bytes"):
        downloaded(there)


def test_small_things_are_asked_for_again(there: Registry) -> None:
    small = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    there.blobs["ml/pytorch"][small] = b"{}"
    there.manifests["ml/pytorch"] = {small: ("application/json", b"{}")}
    there.fault = times(ATTEMPTS - 1)
    assert target(there).read(small) == b"{}" and len(there.asked) == ATTEMPTS
    there.fault = lambda asked: Fault("truncated") if asked.number == ATTEMPTS else None
    assert target(there).manifest(small) == (b"{}", "application/json") and len(there.asked) == ATTEMPTS + 2
    there.fault = lambda _: Fault("truncated")
    with pytest.raises(Surroundings, match=f"broke off {ATTEMPTS} times"):
        target(there).read(small)


@contextlib.contextmanager
def asking_for_a_login() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(address, requests) of a server that answers all with a 401 whose realm is its own; a path and Authorization."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{self.headers["Host"]}/realm"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.005), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_a_login_is_not_sent_to_where_a_redirect_leads(there: Registry) -> None:
    with asking_for_a_login() as (other, asked):
        there.token = True
        moved = Fault("status", 307, (("Location", f"http://{other}/blob?signature=SECRET"),))
        there.fault = lambda a: moved if "/blobs/" in a.path and "Authorization" in a.headers else None
        wire = Wire(there.address, plain=True, find_login=lambda _: Login("me", "PASSWORD"), wait=lambda _: None)
        for read in (
            lambda: Repository(wire, "ml/pytorch").download(DIGEST, io.BytesIO()),
            lambda: Repository(wire, "ml/pytorch").read(DIGEST),
        ):
            asked.clear()
            with pytest.raises(Surroundings, match=r"redirects to 127\.0\.0\.1, which asks for a login") as caught:
                read()
            assert asked == [("/blob?signature=SECRET", "")], "no Authorization, and nobody asks the realm"
            assert not any(secret in str(caught.value) for secret in ("SECRET", "PASSWORD", "signature"))
        own = [a for a in there.asked if a.path.startswith("/token")]
        assert own and all(a.headers["Authorization"].startswith("Basic ") for a in own), "the registry's own has it"
