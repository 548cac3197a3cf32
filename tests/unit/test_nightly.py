"""Why an image is made again, what a night leaves on record, and who is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import samples

from imagekit import bootstrap, composed
from imagekit import plan as plans
from imagekit.bootstrap import Offered
from imagekit.cells import document
from imagekit.errors import Surroundings, UsageError
from imagekit.lock.model import Lock
from imagekit.nightly import notify, outside, page, runners, state
from imagekit.nightly.before import Before
from imagekit.nightly.outside import Outside
from imagekit.nightly.reasons import Reason, reasons
from imagekit.nightly.state import Cell, Night, State
from imagekit.nightly.verdict import Verdict
from imagekit.oci import reference as references
from imagekit.papers import MadeFrom
from imagekit.pipeline import the_site
from imagekit.record import Record
from imagekit.report import Check, Report
from imagekit.resolution import AptSource

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=timezone.utc)
DIGEST = f"sha256:{'1' * 64}"
PLACE = references.parse("127.0.0.1:5000/staging/pytorch")
SYSTEM = outside._asked_for(samples.lock()) or ("", ())
TAG = "2.4.1-cuda12.1-tiny"


@pytest.fixture
def lock() -> Lock:
    return samples.lock()


def parts(lock: Lock) -> dict[str, str]:
    return composed.parts(plans.plan(lock, {"rootfs/a": "1"}))


def before(lock: Lock, *, proven: int = 0, reports: bool = True, **changes: object) -> Before:
    """An image of that lock, proven so many days ago; `changes`: of its record."""
    row = {
        "tag": f"pytorch:{TAG}", "key": "a" * 64, "created": "20260102", "image": DIGEST, "lock": lock.digest, "base": "b",
        "torch": "2.4.1", "cuda": "12.1", "python": "3.11", "system": {"openssl": "3.0.1", "tini": "1"}, "built": {},
        "packages": {package.name: package.version for package in lock.packages}, "parts": parts(lock),
    }  # fmt: skip
    time = (NOW - timedelta(days=proven)).isoformat()
    checks = (Check("a", "static", "PASS"), Check("b", "cpu", "PASS"))
    found = (Report(DIGEST, checks, 1.0, time=time),) if reports else ()
    return Before(PLACE, TAG, DIGEST, MadeFrom(Record(**{**row, **changes}), lock), found)  # type: ignore[arg-type]


def told(there: Before, lock: Lock, around: Outside = Outside(), within: str = "") -> list[str]:
    night = document.Night(proven_within=within or None)
    return [str(reason) for reason in reasons(there, lock, parts(lock), around, night, NOW)]


def test_nothing_to_do(lock: Lock) -> None:
    calm = Outside(
        offered={
            SYSTEM: {"openssl": Offered("3.0.1", True), "other": Offered("9", True), "tini": Offered("0.9", False)}
        }
    )
    assert told(before(lock, proven=100), lock, calm) == []
    assert told(before(lock, proven=6), lock, calm, "7d") == []


def test_each_reason_is_told(lock: Lock) -> None:
    assert told(Before(PLACE, TAG), lock) == ["new: there is no such image yet"]
    assert told(Before(PLACE, TAG, DIGEST), lock) == ["record: nothing says what the image there was made from"]
    moved = Outside(offered={SYSTEM: {"openssl": Offered("3.0.2", True), "tini": Offered("2", False)}})
    assert told(before(lock), lock, moved) == ["security: openssl 3.0.1 -> 3.0.2", "system: tini 1 -> 2"]
    old = before(lock, packages={"six": "1.16.0", "torch": "2.4.1"}, parts={**parts(lock), "wheel": "x", "files": "y"})
    assert told(old, lock) == ["packages: six 1.16.0 -> 1.17.0"]
    assert told(before(lock, parts={**parts(lock), "config": "x"}), lock) == [
        "plan: its environment, labels or features"
    ]
    assert told(before(lock, parts={**parts(lock), "layers": "0"}), lock) == [
        "plan: imagekit makes layers in another way"
    ]
    assert len(told(before(lock, parts={}), lock)) == len(parts(lock)) - 1, "files go with wheels"
    assert told(before(lock, reports=False), lock) == ["proof: there is no proof of the whole image"]
    assert told(before(lock, proven=8), lock, within="7d") == [
        "proof: static: proven on 2026-11-14, and 7d is the most"
    ]


def test_a_file_that_is_gone_is_a_reason_when_something_else_takes_its_place(lock: Lock) -> None:
    def page(file: str, yanked: bool) -> Outside:
        return Outside(files={("pypi", "", "six"): {file: yanked}})

    old = samples.lock().model_copy(update={"packages": (samples.package("six", "1.16.0"), *lock.packages[1:])})
    there = before(old)
    (gone, _) = told(there, lock, page("six-1.17.0-py3-none-any.whl", False))
    assert gone == "gone: six was gone from its index"
    (gone, _) = told(there, lock, page("six-1.16.0-py3-none-any.whl", True))
    assert gone == "gone: six was yanked"
    assert told(before(lock), lock, page("six-1.17.0-py3-none-any.whl", True)) == [], "there is no other"
    assert page("six-1.17.0-py3-none-any.whl", True).gone(lock) == {"six": "yanked"}
    assert Outside().gone(lock) == {}, "an index that does not answer has lost nothing"


def test_what_apt_says_it_would_install(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """I: running apt-get update...
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
Inst perl-base [5.36.0-6] (5.36.0-7+deb12u3 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Conf perl-base (5.36.0-7+deb12u3 Debian:12.15/oldstable [amd64])
"""
    monkeypatch.setattr(bootstrap, "_run", lambda *_: said)
    assert bootstrap.offered("bookworm", ["perl"], the_site(None)) == {
        "libc6": Offered("2.36-9+deb12u14", False), "perl-base": Offered("5.36.0-7+deb12u3", True),
    }  # fmt: skip
    monkeypatch.setattr(bootstrap, "_run", lambda *_: "")
    with pytest.raises(Surroundings, match="does not tell"):
        bootstrap.offered("bookworm", ["perl"], the_site(None))


def test_what_does_not_answer_is_said_once(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> dict[str, Offered]:
        raise Surroundings("it is night there")

    monkeypatch.setattr(bootstrap, "offered", down)
    monkeypatch.setattr(outside, "_files", down)
    found = outside.look([lock, lock], the_site(None))
    assert found.unknown == ("it is night there: bookworm, six of pypi, torch of pypi",) and not found.offered


@pytest.mark.parametrize(("text", "said"), [
    ("nightly: {promot: [prod]}", "nightly.promot: unknown key; did you mean promote?"),
    ("nightly: {proven_within: 7}", "nightly.proven_within"),
    ("nightly: {notify: 'https://chat.example/x'}", "env:NAME; the address itself is never written"),
    ("nightly: {bench: {max_regression: 10%}}", "nightly.bench: a container measures: `engine: true`"),
    ("nightly: {engine: true, bench: {max_regression: lots}}", "is not a part, as 10%"),
    ("nightly: {keep: 0}", "nightly.keep: Input should be greater than or equal to 1"),
])  # fmt: skip
def test_a_section_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(f"matrix: {{profile: [tiny]}}\n{text}\n")
    with pytest.raises(UsageError) as caught:
        document.read(tmp_path / "pipeline.yaml")
    assert said in str(caught.value) and "pipeline.yaml:2" in str(caught.value)


def gpu(status: str) -> Report:
    return Report(
        DIGEST, (Check("g", "gpu", status),), 1.0, time=NOW.isoformat(), environment={"gpus": ["NVIDIA H100"]}
    )


def test_only_what_a_proof_here_would_mend_is_a_reason_for_one(lock: Lock) -> None:
    """A GPU that failed elsewhere fails here as well: nothing is made or proven for it, night after night."""
    there = before(lock)
    for more in (gpu("FAIL"), replace(gpu("PASS"), partial=True), replace(gpu("FAIL"), partial=True)):
        assert told(replace(there, reports=(*there.reports, more)), lock) == []
    wants = document.Night(engine=True, bench=document.Bench())
    for said, reason in (
        (None, ["proof: no engine has proven it"]), (Verdict(), ["proof: it was not measured"]),
        (Verdict(True, ("a: slower",)), []),
    ):  # fmt: skip
        there = replace(before(lock), verdict=said)
        assert [str(one) for one in reasons(there, lock, parts(lock), Outside(), wants, NOW)] == reason


def test_which_runners_are_asked(lock: Lock) -> None:
    night, place = document.Night(runners=("h100", "v100")), before(lock)

    def said(host: str, days: int = 1, **changes: object) -> Report:
        return replace(gpu("PASS"), host=host, time=(NOW - timedelta(days=days)).isoformat(), **changes)  # type: ignore[arg-type]

    def asked(*reports: Report, within: str | None = None) -> tuple[str, ...]:
        own = night.model_copy(update={"proven_within": within})
        return runners.asked(replace(place, reports=reports), own, NOW)

    assert asked() == ("h100", "v100")
    assert asked(said("node-1 by h100"), said("node-2 by v100")) == ()
    assert asked(said("h100"), said("node by v100", days=-1)) == ("h100", "v100"), "an engine's machine; the future"
    failed = replace(said("n by h100"), checks=gpu("FAIL").checks)
    assert asked(failed, said("n by v100")) == ("h100",)
    assert asked(said("node-1 by big-h100"), said("h100.example")) == ("h100", "v100")
    assert asked(said("n by h100", partial=True), said("n by v100", problem="ended with 137")) == ("h100", "v100")
    assert asked(said("n by h100", days=8), said("n by v100", days=2), within="7d") == ("h100",)


def test_an_archive_of_an_overlay_is_not_asked_of_the_distribution(lock: Lock) -> None:
    source = AptSource(name="acme", uri="https://apt.acme.example", suites=("stable",), key="acme.asc", sha256="0" * 64)
    own = lock.resolution.model_copy(update={"apt": ("acme-agent",), "apt_sources": (source,)})
    with_archive = lock.model_copy(update={"resolution": own})
    asked = outside._asked_for(with_archive)
    assert asked and "acme-agent" not in asked[1] and SYSTEM[1] != asked[1]
    assert outside.is_newer("3.0.2", "3.0.1") and not outside.is_newer("3.0.17-1", "3.0.17-9+acme1")


# --- the folder of the nights


@pytest.fixture
def own(tmp_path: Path) -> Iterator[State]:
    with state.held(tmp_path / "nights", False, lambda *_: None) as made:
        yield made


def test_a_night_that_was_broken_off_is_gone_on_with(own: State) -> None:
    night = own.begin("p", "1", NOW)
    own.note(Cell(tag="a", state="good", did="built"))
    with (own.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"tag": "b", "sta')
    again = own.begin("p", "1", NOW + timedelta(hours=3))
    assert again.number == night.number == 1 and [cell.tag for cell in again.cells] == ["a"]
    own.end(again)
    assert own.begin("p", "1", NOW).number == 2, "whatever the clock says"


@pytest.mark.parametrize("other", [("p2", "1", 0), ("p", "2", 0), ("p", "1", 30), ("p", "1", -30)])
def test_another_pipeline_begins_a_night_of_its_own(own: State, other: tuple[str, str, int]) -> None:
    own.begin("p", "1", NOW)
    own.note(Cell(tag="a", state="good"))
    new = own.begin(other[0], other[1], NOW + timedelta(hours=other[2]))
    assert new.number == 2 and not new.cells
    assert [cell.tag for night in own.nights() for cell in night.cells] == ["a"], "what was done stays on record"


@pytest.mark.parametrize(("record", "number"), [("whole", 2), ("half", 1)])
def test_killed_while_its_journal_is_put_away(own: State, record: str, number: int) -> None:
    """A night with a whole record is over: the journal is neither gone on with nor put over that record."""
    night = own.begin("p", "1", NOW)
    done = Cell(tag="a", state="good", did="built")
    own.note(done)
    journal = (own.folder / "journal.jsonl").read_bytes()
    own.end(night.model_copy(update={"ended": NOW.isoformat(), "cells": (done, Cell(tag="b", state="bad"))}))
    (own.folder / "journal.jsonl").write_bytes(journal)
    path = own.folder / "nights" / f"{night.name}.json"
    if record == "half":
        path.write_bytes(path.read_bytes()[:-20])
    kept = path.read_bytes()
    again = own.begin("p", "1", NOW + timedelta(hours=1))
    assert again.number == number and len(again.cells) == (record == "half") and path.read_bytes() == kept
    own.begin("p2", "1", NOW + timedelta(hours=2))
    if record == "whole":
        assert path.read_bytes() == kept


@pytest.mark.parametrize("damage", [b"", b"\x00\xff", b"{}\n", b'{"number": "x"}\n', b"[" * 100_000])
def test_a_damaged_journal_is_no_end(own: State, damage: bytes) -> None:
    (own.folder / "journal.jsonl").write_bytes(damage)
    (own.folder / "nights/000007-20261101T020000Z.json").write_bytes(damage)
    assert own.begin("p", "1", NOW).number == 8 and own.nights() == []


def test_a_folder_that_takes_nothing(own: State, tmp_path: Path) -> None:
    """A full disk, or something else in the way."""
    (own.folder / "journal.jsonl").mkdir()
    with pytest.raises(Surroundings, match="cannot be kept: "):
        own.begin("p", "1", NOW)
    (own.folder / "index.html").mkdir()
    with pytest.raises(Surroundings, match="cannot be kept: "):
        own.show("a page")
    (tmp_path / "file").write_text("")
    with pytest.raises(Surroundings, match="cannot be used"), state.held(tmp_path / "file", False, lambda *_: None):
        pass


def test_two_at_once(own: State) -> None:
    taken = pytest.raises(Surroundings, match=r"another nightly is at it: pid \d+ on \S+, for 0:0")
    with taken as caught, state.held(own.folder, False, lambda *_: None):
        pass
    assert "--wait" in caught.value.hint
    (own.folder / "lock").write_text("")
    with pytest.raises(Surroundings, match="nobody says who"), state.held(own.folder, False, lambda *_: None):
        pass


def test_the_lock_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with state.held(tmp_path, False, lambda *_: None):
            pass


# --- who is told, and the page


def night(number: int, *cells: Cell) -> Night:
    started = (NOW + timedelta(days=number)).isoformat(timespec="seconds")
    return Night(number=number, started=started, ended=started, version="1", cells=cells)


GOOD = Cell(tag="pytorch:a", state="good", did="built", reference=f"{PLACE}@{DIGEST}", size=2_500_000_000, seconds=61,
            reasons=("security: openssl 3.0.1 -> 3.0.2",), changes=("openssl 3.0.1 -> 3.0.2",), proof="static 26",
            promoted={"prod": "moved"}, log="nights/000001/a.log", figures={"resnet18/cpu": 12.5})  # fmt: skip
BAD = Cell(
    tag="pytorch:<b>", state="bad", why=("the image is not proven", "FAIL  imports"), code=5, log="nights/1/b.log"
)
NOT = Cell(tag="c --torch 9", state="impossible", why=("no torch 9",))


def test_only_what_changed_is_told() -> None:
    first = notify.changes([], night(1, GOOD, BAD, NOT))
    assert [(row["tag"], row["state"], row["was"]) for row in first] == [
        ("pytorch:a", "good", ""), ("pytorch:<b>", "bad", ""), ("c --torch 9", "impossible", ""),
    ]  # fmt: skip
    quiet = GOOD.model_copy(update={"did": "nothing", "reasons": ()})
    assert notify.changes([night(1, GOOD, BAD)], night(2, quiet, BAD)) == []
    weak = quiet.model_copy(update={"counts": ("CVE-1 critical: zlib1g 1, fixed in 2",)})
    assert [row["vulnerabilities"] for row in notify.changes([night(1, GOOD, BAD)], night(2, weak, BAD))] == [
        list(weak.counts)
    ]
    assert notify.changes([night(1, GOOD), night(2, weak)], night(3, weak)) == []
    mended = BAD.model_copy(update={"state": "good", "why": ()})
    assert [row["was"] for row in notify.changes([night(1, GOOD, BAD)], night(2, quiet, mended))] == ["bad"]
    assert [row["state"] for row in notify.changes([night(1, GOOD, BAD)], night(2, BAD))] == ["gone"]
    assert notify.changes([night(1, GOOD, BAD)], night(2, BAD), part=True) == [], "nobody looked at the other"
    assert notify.changes([night(1, GOOD, BAD), night(2, BAD)], night(3, GOOD, BAD)) == []


def test_a_webhook_gets_one_post_and_nobody_sees_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[dict[str, object]] = []

    class Answer:
        ok, status_code = True, 200

    def post(_: object, address: str, **options: object) -> Answer:
        came.append({"address": address, **options})
        return Answer()

    monkeypatch.setattr("requests.Session.post", post)
    rows = notify.changes([], night(1, GOOD, BAD))
    assert "has no address" in notify.send("env:HOOK", night(1, GOOD), rows, the_site(None))
    monkeypatch.setenv("HOOK", "https://chat.example/secret-token")
    assert notify.send("env:HOOK", night(1, GOOD), rows, the_site(None)) == ""
    assert came[0]["address"] == "https://chat.example/secret-token" and came[0]["allow_redirects"] is False
    sent = json.dumps(came[0]["json"])
    assert "imagekit nightly: 2 changed, bad: pytorch:<b>" in sent and "secret-token" not in sent
    Answer.status_code = 301
    assert notify.send("env:HOOK", night(1, GOOD), rows, the_site(None)) == "the webhook of HOOK answers 301"
    Answer.ok, Answer.status_code = False, 500
    assert notify.send("env:HOOK", night(1, GOOD), rows, the_site(None)) == "the webhook of HOOK answers 500"
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/secret-token")
    monkeypatch.undo()
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/secret-token")
    said = notify.send("env:HOOK", night(1, GOOD), rows, the_site(None))
    assert said == "the webhook of HOOK does not answer (ConnectionError)"


def test_the_page_has_what_is_and_what_was() -> None:
    quiet = GOOD.model_copy(update={"did": "nothing", "reasons": (), "changes": (), "log": ""})
    text = page.html([night(1, GOOD, NOT), night(2, quiet, BAD, NOT)])
    assert "bad: pytorch:&lt;b&gt;" in text and "<b>" not in text.partition("<body>")[2].replace("<b style", "")
    for part in (
        "cannot be had", "security: openssl 3.0.1 -&gt; 3.0.2", "2.5 GB", "prod: moved", "resnet18/cpu", "no torch 9",
        '<a href="nights/000001/a.log">', "FAIL  imports", "2026-11-24 02:00 UTC",
    ):  # fmt: skip
        assert part in text, part
    assert "1 of 2 nights had nothing to do" not in text and "vulnerabilities" not in text
    known = GOOD.model_copy(
        update={"vulnerabilities": {"critical": 1, "high": 2}, "counts": ("CVE-1 critical: zlib1g",)}
    )
    text = page.html([night(1, known, BAD.model_copy(update={"vulnerabilities": {}}))])
    assert "1 critical, 2 high; 1 counts" in text and "CVE-1 critical: zlib1g" in text and ">none<" in text
    assert "1 of 2 nights had nothing to do" in page.html([night(1, GOOD), night(2, quiet)])


def test_the_page_shows_how_proofs_went() -> None:
    """A night in which an image was bad is seen among them; one that left it as it was tells nothing."""
    proven = GOOD.model_copy(update={"checks": {"static": 26, "cpu": 14}, "proof_seconds": 65.0})
    fewer = proven.model_copy(update={"checks": {"static": 26, "cpu": 13}, "did": "proven"})
    quiet = GOOD.model_copy(update={"did": "nothing", "reasons": ()})
    broken = GOOD.model_copy(update={"did": "nothing", "state": "bad", "why": ("FAIL  imports",), "size": 0})
    text = page.html([night(1, proven), night(2, quiet), night(3, broken), night(4, fewer)])
    assert text.count("checks that passed") == text.count("time to prove") == 1
    told = re.findall(r"static 26, cpu \d+|>bad<|>1:05<", text.partition("checks that passed")[2])
    assert told == ["static 26, cpu 14", ">bad<", "static 26, cpu 13", ">1:05<", ">1:05<"]
    assert "checks that passed" not in page.html([night(1, GOOD), night(2, broken)])


def test_reasons_are_texts() -> None:
    assert str(Reason("new", "x")) == "new: x"
