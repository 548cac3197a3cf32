"""Pushing, with every fault at every request: it ends in the whole image or in one error, and no tag is over a gap."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_double import SLOW, Fault, Registry, served
from small_images import made, target

from imagekit.errors import Surroundings
from imagekit.oci import challenge, wire
from imagekit.oci.image import Image
from imagekit.oci.places import Places
from imagekit.oci.push import push
from imagekit.oci.registry import Repository
from imagekit.oci.sending import Sending
from imagekit.oci.wire import Wire


@pytest.fixture
def there() -> Iterator[Registry]:
    with served(Registry()) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Image:
    return made(tmp_path / "image", b"one" * 1000, b"two" * 5, b"")


def test_everything_is_sent_once_and_the_tag_comes_last(there: Registry, small: Image) -> None:
    told: list[tuple[int, int]] = []
    done = push(small, Sending(target(there)), ["1-cuda", "latest"], progress=lambda *numbers: told.append(numbers))
    assert len(done.blobs) == 4 and there.whole("ml/pytorch", "1-cuda") and there.whole("ml/pytorch", "latest")
    assert told[-1] == (done.bytes, done.bytes) and done.bytes == small.size + len(small.config)
    manifests = [
        asked.path.rpartition("/")[2] for asked in there.asked if asked.method == "PUT" and "/manifests/" in asked.path
    ]
    assert manifests == [small.digest, "1-cuda", "latest"]
    assert target(there).manifest("1-cuda")[0] == small.manifest
    assert target(there).read(small.id) == small.config


def test_what_is_there_is_not_sent(there: Registry, small: Image, tmp_path: Path) -> None:
    push(small, Sending(target(there)), ["a"])
    newer = made(tmp_path / "newer", b"one" * 1000, b"two" * 5, b"", b"one layer more")
    before = len(there.asked)
    done = push(newer, Sending(target(there)), ["a"])
    assert len(done.blobs) == 2 and done.there == 3  # the layer and the config
    assert sum(asked.method == "PUT" and "/uploads/" in asked.path for asked in there.asked[before:]) == 2


@pytest.mark.parametrize(("answer", "mounted"), [(201, 4), (202, 0), (405, 0), (404, 0)])
def test_what_another_repository_has_is_mounted(there: Registry, small: Image, answer: int, mounted: int) -> None:
    push(small, Sending(target(there, "ml/other")), [])
    there.mounts = answer
    done = push(small, Sending(target(there), mount_from=lambda _: ["ml/empty", "ml/other"]), ["a"])
    assert done.mounted == mounted and len(done.blobs) == 4 - mounted and there.whole("ml/pytorch", "a")
    assert there.uploads == {}, "uploads that a mount began are given up"


FAULTS = [
    *(Fault("status", code) for code in (408, 429, 500, 502, 503, 504)),
    Fault("status", 429, (("Retry-After", "1"),)), Fault("status", 503, (("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"),)),
    Fault("before"), Fault("middle"), Fault("after"), Fault("truncated"), Fault("wrong digest"), Fault("lie"), Fault("expired"),
]  # fmt: skip
REQUESTS = 16
"""Of the push of one image of four blobs and one tag, at least: see the test that counts them."""


@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.status or ''}{'+' if fault.headers else ''}"
)
def test_one_fault_at_any_request(small: Image, fault: Fault) -> None:
    for number in range(REQUESTS):
        with served(
            Registry(fault=lambda asked, n=number: fault if asked.number == n else None, token=fault.kind == "expired")
        ) as there:
            try:
                push(small, Sending(target(there)), ["a"])
                assert there.tags["ml/pytorch"]["a"] == small.digest
            except Surroundings as error:
                assert fault.kind == "wrong digest", (number, error)
            assert there.whole("ml/pytorch", "a"), number


def test_layers_go_while_others_are_still_made(there: Registry, small: Image) -> None:
    sending = Sending(target(there))
    for one in small.layers[:2]:
        sending.layer(one)
        sending.layer(one)  # each is sent once
    assert there.tags == {}, "nothing points to them"
    done = push(small, sending, ["a"])
    assert len(done.blobs) == 4 and done.there == 0 and there.whole("ml/pytorch", "a")
    assert sum(asked.method == "HEAD" and "/blobs/" in asked.path for asked in there.asked) == 4


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.kind != "expired"], ids=lambda fault: fault.kind)
def test_one_fault_at_any_request_of_layers_that_go_ahead(small: Image, fault: Fault) -> None:
    for number in range(6):
        with served(Registry(fault=lambda asked, n=number: fault if asked.number == n else None)) as there:
            sending = Sending(target(there))
            try:
                for one in small.layers:
                    sending.layer(one)
                push(small, sending, ["a"])
                assert there.tags["ml/pytorch"]["a"] == small.digest
            except Surroundings as error:
                assert fault.kind == "wrong digest", (number, error)
                sending.give_up()
            assert there.whole("ml/pytorch", "a"), number


def test_what_went_wrong_ahead_ends_the_build_and_not_only_the_push(small: Image) -> None:
    with served(Registry(fault=lambda asked: Fault("status", 403))) as there:
        sending = Sending(target(there))
        ends = time.monotonic() + 30
        with pytest.raises(Surroundings, match="403|denied|allow"):
            while time.monotonic() < ends:
                for one in small.layers:
                    sending.layer(one)
        sending.give_up()


def test_given_up_nothing_is_on_its_way(there: Registry, small: Image) -> None:
    sending = Sending(target(there))
    sending.layer(small.layers[0])
    sending.give_up()
    asked = len(there.asked)
    with pytest.raises(Surroundings):
        sending.layer(small.layers[1])
    time.sleep(0.2)
    assert len(there.asked) == asked and there.tags == {}


def test_where_a_blob_went_is_remembered(tmp_path: Path) -> None:
    places = Places(tmp_path, "registry.example")
    places.note("ml/a", ["sha256:1", "sha256:2"])
    places.note("ml/b", ["sha256:2"])
    places.note("ml/b", ["sha256:3"])
    again = Places(tmp_path, "registry.example")
    assert again.having("sha256:1", besides="ml/c") == ["ml/a"] and again.having("sha256:1", besides="ml/a") == []
    assert sorted(again.having("sha256:2", besides="")) == ["ml/a", "ml/b"]
    assert again.having("sha256:3", besides="") == ["ml/b"]
    assert Places(tmp_path, "other.example").having("sha256:1", besides="") == []
    for path in tmp_path.rglob("*.json"):
        path.write_text('{"repository": 1, "blobs": 2}')
    assert Places(tmp_path, "registry.example").having("sha256:1", besides="") == []
    places.note("ml/a", ["sha256:1"])


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.kind not in ("lie", "expired")], ids=lambda fault: fault.kind
)
def test_a_fault_that_stays(small: Image, fault: Fault) -> None:
    """From some request on nothing works any more: an error, and no tag."""
    for number in range(0, REQUESTS, 4):
        with served(Registry(fault=lambda asked, n=number: fault if asked.number >= n else None)) as there:
            try:
                push(small, Sending(target(there)), ["a"])
            except Surroundings as error:
                assert "\n" not in error.message and len(str(error)) < 600
            assert there.whole("ml/pytorch", "a"), number


def test_a_push_has_at_least_the_requests_that_are_tried(there: Registry, small: Image) -> None:
    push(small, Sending(target(there)), ["a"])
    assert len(there.asked) >= REQUESTS


PUSHES = int(os.environ.get("IMAGEKIT_PUSHES", "100"))
"""`make soak` has a thousand."""


def test_many_pushes_with_many_faults(tmp_path: Path) -> None:
    """A fifth of all requests goes wrong."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kinds = [fault for fault in FAULTS if fault.kind not in ("expired", "wrong digest")]
    with served(Registry(token=True)) as there:
        there.fault = lambda _: chance.choice(kinds) if chance.random() < 0.2 else None
        fine = 0
        for number in range(PUSHES):
            contents = [chance.randbytes(chance.randrange(3000)) for _ in range(chance.randrange(1, 5))]
            one = made(tmp_path / str(number), *contents)
            try:
                push(one, Sending(target(there)), [f"t{number}"])
                fine += 1
                assert there.tags["ml/pytorch"][f"t{number}"] == one.digest
            except Surroundings:
                pass
            assert there.whole("ml/pytorch", f"t{number}")
        assert fine > PUSHES // 2


def test_a_small_blob_is_never_sent_in_pieces(there: Registry, small: Image) -> None:
    there.fault = lambda a: Fault("status", 504) if a.method == "PUT" and "/uploads/" in a.path else None
    with pytest.raises(Surroundings, match="504"):
        push(small, Sending(target(there)), ["a"])
    assert not any(a.method == "PATCH" for a in there.asked)


def test_a_slow_finish_is_awaited(there: Registry, small: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a blob's size makes likely; giving up would send it again."""
    monkeypatch.setattr(wire, "ANSWER", SLOW / 2)
    monkeypatch.setattr(wire, "SLOWEST", 3000 / (60 * SLOW))
    there.fault = lambda a: Fault("slow finalise") if a.headers.get("Content-Length") == "3000" else None
    push(small, Sending(target(there)), ["a"])
    assert sum(a.headers.get("Content-Length") == "3000" for a in there.asked) == 1 and there.whole("ml/pytorch", "a")


@pytest.mark.parametrize("fault", [Fault("status", 500), Fault("before"), Fault("after")], ids=lambda f: f.kind)
def test_an_upload_that_a_mount_began_is_given_up_once(there: Registry, small: Image, fault: Fault) -> None:
    push(small, Sending(target(there, "ml/other")), [])
    there.mounts, before = 202, len(there.asked)
    there.fault = lambda a: fault if a.method == "DELETE" else None
    done = push(small, Sending(target(there), mount_from=lambda _: ["ml/other"]), ["a"])
    assert len(done.blobs) == 4 and there.whole("ml/pytorch", "a")
    assert sum(a.method == "DELETE" for a in there.asked[before:]) == 4, "one for each blob"


def test_the_login_is_asked_for_once_and_a_token_for_each_scope(small: Image) -> None:
    with served(Registry(token=True)) as there:
        logins: list[str] = []
        mine = Wire(there.address, plain=True, find_login=lambda host: logins.append(host), wait=lambda _: None)  # type: ignore[func-returns-value]
        push(small, Sending(Repository(mine, "ml/pytorch")), ["a"])
        assert logins == [there.address]
        scopes = {asked.path.partition("scope=")[2] for asked in there.asked if asked.path.startswith("/token")}
        assert scopes == {"repository%3Aml%2Fpytorch%3Apull", "repository%3Aml%2Fpytorch%3Apull%2Cpush"}


@pytest.mark.parametrize(("location", "says"), [
    ("http://169.254.169.254/latest", "another host"), ("http://registry.example:1/x", "another host"),
    ("https://elsewhere.example/v2/x", "another host"),
])  # fmt: skip
def test_an_upload_goes_to_no_other_host(there: Registry, small: Image, location: str, says: str) -> None:
    there.fault = lambda a: Fault("status", 202, (("Location", location),)) if a.method == "POST" else None
    with pytest.raises(Surroundings, match=says):
        push(small, Sending(target(there)), ["a"])
    assert there.tags.get("ml/pytorch", {}) == {}


def test_retry_after_is_heeded_and_bounded() -> None:
    assert challenge.pause(1, "7") == 7.0
    assert challenge.pause(1, "999999") == challenge.LONGEST
    assert 0.8 <= challenge.pause(1, "") <= 1.2 and challenge.pause(9, "") <= 1.2 * 16
    assert challenge.pause(1, "Fri, 31 Dec 1999 23:59:59 GMT") <= 1.2  # gone by
    assert challenge.pause(1, "soon") <= 1.2


def test_a_challenge_is_read_as_it_is_written() -> None:
    text = 'realm="https://auth.example/token?a=b,c",service="re\\"g", scope=repository:x:pull'
    assert challenge.fields(text) == {
        "realm": "https://auth.example/token?a=b,c",
        "service": 're"g',
        "scope": "repository:x:pull",
    }


def test_of_two_challenges_the_token_is_taken() -> None:
    """As Gitea sends them; requests joins two headers with a comma."""
    both = 'Bearer realm="https://a.example/token",service="s", Basic realm="Gitea, and more"'
    assert challenge.chosen(both) == ("bearer", ' realm="https://a.example/token",service="s"')
    assert challenge.chosen('Basic realm="x"') == ("basic", ' realm="x"')
    assert challenge.chosen("Negotiate abc") == ("", "")
