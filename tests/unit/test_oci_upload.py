"""A large blob that does not get through in one request goes in pieces, and on from where a registry says it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry_double import Asked, Fault, Registry, served

from imagekit.errors import Surroundings
from imagekit.oci import upload
from imagekit.oci.answers import ATTEMPTS, Refused
from imagekit.oci.registry import Repository
from imagekit.oci.wire import Wire

CONTENT = bytes(range(256)) * 20
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
PIECE = 700
PIECES = 8
"""Of the content."""


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(upload, "WHOLE", 1000)
    monkeypatch.setattr(upload, "CHUNK", PIECE)
    monkeypatch.setattr(upload, "LEAST", 50)
    with served(Registry()) as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "blob").write_bytes(CONTENT)
    return tmp_path / "blob"


def send(there: Registry, source: Path) -> list[float]:
    """The waits on the way; the blob is there, and as many bytes were told of as it has."""
    waits: list[float] = []
    told: list[int] = []
    wire = Wire(there.address, plain=True, find_login=lambda _: None, wait=waits.append)
    Repository(wire, "ml/a").upload(DIGEST, len(CONTENT), source, told.append)
    assert there.blobs["ml/a"][DIGEST] == CONTENT and sum(told) == len(CONTENT)
    return waits


def whole(asked: Asked) -> bool:
    return asked.method == "PUT" and asked.headers.get("Content-Length") == str(len(CONTENT))


def faults(*pieces: tuple[int, Fault]) -> Callable[[Asked], Fault | None]:
    """The whole blob does not get through, and the pieces of these numbers meet with that."""
    wanted, number = dict(pieces), iter(range(1000))

    def fault(asked: Asked) -> Fault | None:
        if whole(asked):
            return Fault("middle")
        return wanted.get(next(number)) if asked.method == "PATCH" else None

    return fault


def spans(there: Registry) -> list[str]:
    return [asked.headers["Content-Range"] for asked in there.asked if asked.method == "PATCH"]


STRAIGHT = [f"{at}-{min(at + PIECE, len(CONTENT)) - 1}" for at in range(0, len(CONTENT), PIECE)]


@pytest.mark.parametrize(
    "fault", [Fault("before"), Fault("middle"), *(Fault("status", code) for code in (408, 413, 500, 502, 504, 524))],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)  # fmt: skip
def test_it_is_sent_whole_once_and_then_in_pieces(there: Registry, source: Path, fault: Fault) -> None:
    there.fault = lambda asked: fault if whole(asked) else None
    send(there, source)
    assert sum(map(whole, there.asked)) == 1 and spans(there) == STRAIGHT and len(STRAIGHT) == PIECES


@pytest.mark.parametrize(("code", "times"), [(403, 1), (507, 1), (429, ATTEMPTS)])
def test_what_pieces_would_not_change_ends_it(there: Registry, source: Path, code: int, times: int) -> None:
    there.fault = lambda asked: Fault("status", code) if whole(asked) else None
    with pytest.raises(Refused, match=str(code)):
        send(there, source)
    assert sum(map(whole, there.asked)) == times and spans(there) == []


def test_what_arrived_though_its_answer_was_lost_is_not_sent_again(there: Registry, source: Path) -> None:
    there.fault = lambda asked: Fault("after") if whole(asked) else None
    wire = Wire(there.address, plain=True, find_login=lambda _: None, wait=lambda _: None)
    Repository(wire, "ml/a").upload(DIGEST, len(CONTENT), source)
    assert there.blobs["ml/a"][DIGEST] == CONTENT and sum(map(whole, there.asked)) == 1 and spans(there) == []


def test_a_piece_that_breaks_goes_on_where_the_registry_says(there: Registry, source: Path) -> None:
    there.fault = faults((2, Fault("middle")))
    send(there, source)
    assert spans(there)[:4] == ["0-699", "700-1399", "1400-2099", "1750-2449"], "half of the third had arrived"


def test_the_lost_answer_of_a_piece_is_found_out(there: Registry, source: Path) -> None:
    there.fault = faults((2, Fault("after")))
    send(there, source)
    assert spans(there) == STRAIGHT, "no piece is sent twice"


@pytest.mark.parametrize("kind", ["before", "middle", "after", "status"])
def test_one_fault_at_any_request(source: Path, there: Registry, kind: str) -> None:
    for number in range(2 + PIECES + 4):
        whole_broke = faults()
        with served(Registry()) as other:
            other.fault = lambda a, n=number, w=whole_broke: w(a) or (Fault(kind, 503) if a.number == n else None)  # type: ignore[misc]
            send(other, source)
            sent = sum(int(a.headers.get("Content-Length") or 0) for a in other.asked if a.method == "PATCH")
            assert PIECES <= len(spans(other)) <= PIECES + 1 and sent <= len(CONTENT) + PIECE


@pytest.mark.parametrize("at", ["PATCH", "PUT"])
def test_an_upload_that_is_forgotten_is_begun_anew(there: Registry, source: Path, at: str) -> None:
    forgotten: list[Asked] = []

    def fault(asked: Asked) -> Fault | None:
        if whole(asked):
            return Fault("middle")
        if asked.method == at and len(spans(there)) >= 3 and not forgotten:
            forgotten.append(asked)
            there.uploads.clear()
        return None

    there.fault = fault
    send(there, source)
    assert len(forgotten) == 1 and spans(there)[-PIECES:] == STRAIGHT
    assert len(spans(there)) == PIECES + (3 if at == "PATCH" else PIECES)


def test_one_that_is_always_forgotten_comes_to_an_end(there: Registry, source: Path) -> None:
    def fault(asked: Asked) -> Fault | None:
        if asked.headers.get("Content-Range") == STRAIGHT[2]:
            there.uploads.clear()
        return Fault("middle") if whole(asked) else None

    there.fault = fault
    with pytest.raises(Refused, match="404"):
        send(there, source)
    assert spans(there) == STRAIGHT[:3] * ATTEMPTS


def test_a_piece_waits_as_long_as_it_is_told(there: Registry, source: Path) -> None:
    there.fault = faults((1, Fault("status", 429, (("Retry-After", "7"),))), (2, Fault("status", 503)))
    assert send(there, source)[1] == 7.0


def test_each_piece_is_tried_so_often(there: Registry, source: Path) -> None:
    """And what went wrong with one does not count for the next."""
    broken = Fault("status", 502)
    there.fault = faults(*((n, broken) for n in range(20) if n % ATTEMPTS != ATTEMPTS - 1))
    send(there, source)
    there.fault = faults(*((n, broken) for n in range(3, 1000)))
    before = len(spans(there))
    with pytest.raises(Surroundings, match="502"):
        Repository(Wire(there.address, plain=True, find_login=lambda _: None, wait=lambda _: None), "ml/b").upload(
            DIGEST, len(CONTENT), source
        )
    assert len(spans(there)) == before + 3 + ATTEMPTS


def test_pieces_become_smaller_where_they_are_too_large(there: Registry, source: Path) -> None:
    most = 200
    there.fault = lambda a: Fault("status", 413) if int(a.headers.get("Content-Length") or 0) > most else None
    send(there, source)
    assert spans(there)[:3] == ["0-699", "0-174", "175-349"]


def test_a_registry_that_has_what_was_not_sent_begins_anew(there: Registry, source: Path) -> None:
    lie = Fault("status", 204, (("Range", "0-4999"),))
    broken = faults((2, Fault("before")))
    there.fault = lambda a: lie if a.method == "GET" else broken(a)
    send(there, source)
    assert spans(there) == [*STRAIGHT[:3], *STRAIGHT]
