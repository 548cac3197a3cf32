"""Names in a registry: whose they are, where they lead, and where they led before."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from registry_double import Asked, Fault, Registry, served
from small_images import labelled, target

from imagekit import publish
from imagekit import report as reports
from imagekit.errors import Surroundings
from imagekit.oci.image import Image
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.proof.evidence import Kept
from imagekit.publish import Outcome, Settled
from imagekit.report import Check, Report
from imagekit.tag import Names

NOW = datetime(2026, 11, 22, 3, tzinfo=timezone.utc)
PROFILE = "2.4.1-cuda12.1-video-llm"


def image(folder: Path, content: str, profile: str = "video-llm", **labels: str) -> Image:
    return labelled(folder / f"{content}-{profile}", content, {"profile": profile, **labels})


def names(key: str = "20261122-aaaaaaa") -> Names:
    return Names(f"pytorch:{PROFILE}", f"pytorch:{PROFILE}-{key}", bare="pytorch:2.4.1-cuda12.1")


def settled(there: Registry, made: Image, key: str = "20261122-aaaaaaa", hours: int = 0) -> Settled:
    push(made, Sending(target(there)), [])
    return publish.settle(target(there), made.digest, names(key), NOW + timedelta(hours=hours))


def states(found: Settled) -> list[str]:
    return [outcome.state for outcome in found.outcomes]


def refuse_records(there: Registry, status: int) -> None:
    """Whatever is no image that it has already."""
    known = set(there.manifests["ml/pytorch"])

    def fault(asked: Asked) -> Fault | None:
        _, _, digest = asked.path.rpartition("/manifests/")
        return (
            Fault("status", status)
            if asked.method == "PUT" and digest[:7] == "sha256:" and digest not in known
            else None
        )

    there.fault = fault


def tags(there: Registry) -> dict[str, str]:
    """Without those of lists of referrers."""
    return {tag: digest for tag, digest in there.tags["ml/pytorch"].items() if not tag.startswith("sha256-")}


def proof(made: Image) -> Kept:
    raw = reports.as_json(
        Report(made.id, (Check("versions", "static", "PASS"),), 1.0, time="2026-11-22T01:00:00+00:00")
    )
    return Kept(raw, reports.from_json(raw))


def test_new_names_and_the_same_again(there: Registry, tmp_path: Path) -> None:
    first = image(tmp_path, "one")
    assert states(settled(there, first)) == ["new", "new", "new"]
    assert set(tags(there).values()) == {first.digest}
    before = dict(there.manifests["ml/pytorch"])
    assert states(settled(there, first)) == ["same", "same", "same"] and there.manifests["ml/pytorch"] == before


def test_a_newer_image_of_the_same_takes_over_the_moving_names(there: Registry, tmp_path: Path) -> None:
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    settled(there, first)
    done = settled(there, second, "20261123-bbbbbbb", 1)
    assert states(done) == ["new", "moved", "moved"] and {one.was for one in done.outcomes[1:]} == {first.digest}
    assert target(there).digest_of(f"{PROFILE}-20261122-aaaaaaa") == first.digest
    assert str(done.outcomes[1]) == f"2.4.1-cuda12.1  moved; was {first.digest[:19]}"
    moves = [(move.digest, move.was) for move in publish.history(target(there), PROFILE)]
    assert moves == [(second.digest, first.digest), (first.digest, "")]
    named = {move.tag for move in publish.moves_to(target(there), first.digest)}
    assert named == tags(there).keys() - {f"{PROFILE}-20261123-bbbbbbb"}


@pytest.mark.parametrize(("labels", "owner"), [
    ({"profile": "vision"}, "vision"), ({"suffix": "py310"}, "video-llm-py310"), ({"overlays": "acme"}, "video-llm-acme"),
])  # fmt: skip
def test_names_of_others_stay(there: Registry, tmp_path: Path, labels: dict[str, str], owner: str) -> None:
    theirs = image(tmp_path, "theirs", **labels)
    push(theirs, Sending(target(there)), ["2.4.1-cuda12.1"])
    done = settled(there, image(tmp_path, "mine"))
    assert states(done) == ["new", "kept", "new"] and f"it is an image of {owner}" in str(done.outcomes[1])
    assert target(there).digest_of("2.4.1-cuda12.1") == theirs.digest


def test_a_foreign_image_stays(there: Registry, tmp_path: Path) -> None:
    theirs = labelled(tmp_path / "foreign", "x", {})
    push(theirs, Sending(target(there)), [PROFILE])
    done = settled(there, image(tmp_path, "mine"))
    assert states(done) == ["new", "kept", "new"] and "nobody that imagekit knows" in done.outcomes[1].why


def test_other_bytes_of_the_same_plan_get_a_name_of_their_own(there: Registry, tmp_path: Path) -> None:
    first, second, third = (image(tmp_path, name) for name in ("one", "two", "three"))
    settled(there, first)
    assert settled(there, second).outcomes[0] == Outcome(f"{PROFILE}-20261122-aaaaaaa.2", "new")
    assert settled(there, third).outcomes[0].tag.endswith(".3")
    assert settled(there, second).outcomes[0] == Outcome(f"{PROFILE}-20261122-aaaaaaa.2", "same")


def test_what_is_there_and_proven_is_the_result(there: Registry, tmp_path: Path) -> None:
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    settled(there, first)
    assert publish.told(target(there), first.digest, [proof(first)]) == "1 report attached"
    assert publish.told(target(there), first.digest, [proof(first)]) == ""
    done = settled(there, second)
    assert done.digest == first.digest and states(done) == ["same", "same", "same"]
    assert set(tags(there).values()) == {first.digest}


@pytest.mark.parametrize("status", [400, 412])
def test_a_name_that_the_registry_holds(there: Registry, tmp_path: Path, status: int) -> None:
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    settled(there, first)

    def held(asked: Asked) -> Fault | None:
        stays = asked.method == "PUT" and asked.path.endswith("/manifests/2.4.1-cuda12.1")
        return Fault("status", status) if stays else None

    there.fault = held
    done = settled(there, second, "20261123-bbbbbbb", 1)
    assert states(done) == ["new", "kept", "moved"] and "the registry holds it" in str(done.outcomes[1])
    assert target(there).digest_of("2.4.1-cuda12.1") == first.digest


def test_a_reply_that_is_lost_where_names_are_held(there: Registry, tmp_path: Path) -> None:
    """Written again, its registry refuses it: it is there already, and everything goes on."""
    first, asked = image(tmp_path, "one"), list[str]()

    def lost(request: Asked) -> Fault | None:
        if request.method != "PUT" or "/manifests/2.4.1" not in request.path:
            return None
        asked.append(request.path)
        return Fault("status", 412) if asked.count(request.path) > 1 else Fault("after")

    there.fault = lost
    assert states(settled(there, first)) == ["new", "new", "new"]
    assert len(asked) == 6 and set(tags(there).values()) == {first.digest}


def test_a_registry_that_refuses_all_is_an_error(there: Registry, tmp_path: Path) -> None:
    there.fault = lambda asked: Fault("status", 403) if asked.method == "PUT" and asked.path.endswith(PROFILE) else None
    with pytest.raises(Surroundings, match="403"):
        settled(there, image(tmp_path, "one"))


def test_a_registry_that_takes_no_records(there: Registry, tmp_path: Path) -> None:
    """An old one takes images and nothing else: the names move, and it is said."""
    first = image(tmp_path, "one")
    settled(there, first)
    second = image(tmp_path, "two")
    push(second, Sending(target(there)), [])
    refuse_records(there, 405)
    done = publish.settle(target(there), second.digest, names("20261123-bbbbbbb"), NOW)
    assert states(done) == ["new", "moved", "moved"] and "without a record: " in str(done.outcomes[1])
    assert publish.told(target(there), second.digest, [proof(second)]).endswith(
        "takes nothing that belongs to an image (405)"
    )


def test_what_others_attached_is_no_history(there: Registry, tmp_path: Path) -> None:
    from imagekit.oci import referrers

    first = image(tmp_path, "one")
    settled(there, first)
    for text in ("", "[]", "1", "{", "[" * 100_000):
        referrers.attach(target(there), first.digest, publish.HISTORY, text.encode(), {publish.NAMES: text})
    assert len(publish.history(target(there), PROFILE)) == 1


def test_there_and_back(there: Registry, tmp_path: Path) -> None:
    first, second, third = (image(tmp_path, name) for name in ("one", "two", "three"))
    for hour, made in enumerate((first, second, third)):
        settled(there, made, f"2026112{hour}-aaaaaaa", hour)
    publish.move(target(there), {PROFILE: third.digest}, second.digest, NOW + timedelta(hours=4), back=True)
    found = publish.history(target(there), PROFILE)
    assert [(move.digest, move.was, move.back) for move in found] == [
        (second.digest, third.digest, True), (third.digest, second.digest, False), (second.digest, first.digest, False),
        (first.digest, "", False),
    ]  # fmt: skip
    assert len(publish.history(target(there), "2.4.1-cuda12.1")) == 3, "the other name has a history of its own"


@pytest.mark.parametrize(("fault", "again", "step"), [
    (Fault("status", 500), 1, 1), (Fault("before"), 1, 1), (Fault("after"), 1, 1), (Fault("status", 503), 99, 2),
    (Fault("truncated"), 99, 3),
], ids=lambda value: value.kind if isinstance(value, Fault) else "")  # fmt: skip
def test_a_fault_at_any_request(tmp_path: Path, fault: Fault, again: int, step: int) -> None:
    """Every name leads to the one image or to the other, and a second attempt ends it."""
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    for number in range(0, 60, step):
        with served(Registry()) as there:
            settled(there, first)
            push(second, Sending(target(there)), [])
            begun = len(there.asked)
            there.fault = lambda asked, at=begun + number: fault if at <= asked.number < at + again else None  # type: ignore[misc]
            try:
                publish.settle(target(there), second.digest, names("20261123-bbbbbbb"), NOW)
            except Surroundings as error:
                assert error.message
            reached = len(there.asked) > begun + number
            there.fault = lambda _: None
            assert set(there.tags["ml/pytorch"].values()) <= {first.digest, second.digest}
            publish.settle(target(there), second.digest, names("20261123-bbbbbbb"), NOW)
            assert target(there).digest_of(PROFILE) == target(there).digest_of("2.4.1-cuda12.1") == second.digest
            assert publish.history(target(there), PROFILE)[0].was == first.digest
        if not reached:
            return
    raise AssertionError("there are more requests than were tried")


def test_one_that_has_failed_since_is_no_result(there: Registry, tmp_path: Path) -> None:
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    settled(there, first)
    bad = reports.as_json(
        Report(first.id, (Check("versions", "static", "FAIL"),), 1.0, time="2026-11-22T02:00:00+00:00")
    )
    publish.told(target(there), first.digest, [Kept(bad, reports.from_json(bad)), proof(first)])
    assert settled(there, second).outcomes[0].tag.endswith(".2")


@pytest.mark.parametrize("labels", [{"profile": 5}, {"profile": "x", "suffix": 5}, {"profile": ["x"]}])
def test_labels_that_are_no_texts(there: Registry, tmp_path: Path, labels: dict[str, object]) -> None:
    theirs = labelled(tmp_path / "odd", "odd", labels)  # type: ignore[arg-type]
    push(theirs, Sending(target(there)), [PROFILE])
    assert states(settled(there, image(tmp_path, "mine"))) == ["new", "kept", "new"]


def test_a_registry_that_fails_is_not_one_that_takes_no_records(there: Registry, tmp_path: Path) -> None:
    first, second = image(tmp_path, "one"), image(tmp_path, "two")
    settled(there, first)
    push(second, Sending(target(there)), [])
    refuse_records(there, 503)
    with pytest.raises(Surroundings, match="503"):
        publish.settle(target(there), second.digest, names("20261123-bbbbbbb"), NOW)
    assert target(there).digest_of(PROFILE) == first.digest


def test_clocks_decide_nothing(there: Registry, tmp_path: Path) -> None:
    made = [image(tmp_path, name) for name in ("one", "two", "three")]
    for hour, one in zip((0, 5, 2), made, strict=True):
        settled(there, one, f"2026112{hour}-aaaaaaa", hour)
    assert [move.was for move in publish.history(target(there), PROFILE)] == [made[1].digest, made[0].digest, ""]
