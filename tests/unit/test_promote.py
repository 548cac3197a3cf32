"""From staging to production and back, against a registry that keeps the rules of the specification."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from registry_double import Fault, Registry, served
from small_images import labelled, target

from imagekit import publish
from imagekit import report as reports
from imagekit.oci import referrers
from imagekit.oci.image import Image
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.proof import attached
from imagekit.proof.evidence import Kept
from imagekit.report import Check, Report
from imagekit.tag import Names

Run = Callable[..., tuple[int, str, str]]
NOW = datetime.now(timezone.utc)
STAGING, PROD = "staging/pytorch", "prod/pytorch"
PROFILE, BARE = "2.4.1-cuda12.1-video-llm", "2.4.1-cuda12.1"


@pytest.fixture(autouse=True)
def a_site(tmp_path: Path, there: Registry) -> None:
    site(tmp_path, there, 'stages = ["static"]\nmax_age = "7d"\n')


def site(folder: Path, there: Registry, asks: str) -> None:
    (folder / "imagekit.toml").write_text(
        f'[registry]\npush = "{there.address}/staging"\nprod = "{there.address}/prod"\n[promote.prod]\n{asks}'
    )


def staged(folder: Path, there: Registry, content: str, day: int, **told: str) -> Image:
    """An image in staging under its names; `told`: statuses of the checks a and b, and how many days ago."""
    made = labelled(folder / content, content, {"profile": "video-llm", "torch": "2.4.1", "cuda": "12.1"})
    push(made, Sending(target(there, STAGING)), [])
    key = f"202611{day:02}-aaaaaaa"
    names = Names(f"pytorch:{PROFILE}", f"pytorch:{PROFILE}-{key}", bare=f"pytorch:{BARE}")
    if told:
        prove(there, made, **told)
    publish.settle(target(there, STAGING), made.digest, names, NOW + timedelta(seconds=day))
    return made


def prove(
    there: Registry, made: Image, repository: str = STAGING, days: str = "0", after: int = 0, **statuses: str
) -> None:
    """`days` ago; `after`: seconds later."""
    checks = tuple(Check(name, "static", status) for name, status in statuses.items())
    time = (NOW - timedelta(days=int(days)) + timedelta(seconds=after)).isoformat(timespec="seconds")
    raw = reports.as_json(Report(made.id, checks, 1.0, time=time))
    attached.send(target(there, repository), made.digest, [Kept(raw, reports.from_json(raw))])


def tags(there: Registry, repository: str = PROD) -> dict[str, str]:
    found = there.tags.get(repository, {})
    return {tag: digest for tag, digest in found.items() if not tag.startswith("sha256-")}


def test_the_same_bytes_and_what_was_proven_of_them(run: Run, there: Registry, tmp_path: Path) -> None:
    made = staged(tmp_path, there, "one", 1, a="PASS")
    code, out, err = run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")
    assert (code, out) == (0, f"{there.address}/{PROD}@{made.digest}\n"), err
    assert set(tags(there)) == {PROFILE, BARE, f"{PROFILE}-20261101-aaaaaaa"} and set(tags(there).values()) == {
        made.digest
    }
    assert there.whole(PROD, PROFILE) and "0 B sent" in err, "the same registry takes its own blobs over"
    assert len(attached.all_of(target(there, PROD), made.digest)) == 1
    (first, *_) = publish.history(target(there, PROD), PROFILE)
    assert first.was == "" and len({move.time for move in publish.moves_to(target(there, PROD), made.digest)}) == 1
    code, _, err = run("promote", f"registry:{there.address}/{STAGING}:{PROFILE}", "--to", "prod")
    assert code == 0 and err.count("same") == 3


@pytest.mark.parametrize(("asks", "told", "lacks"), [
    ('stages = ["static"]', {}, ["there is no proof of the whole image"]),
    ('stages = ["static", "cpu"]', {"a": "PASS", "b": "FAIL"}, ["static: b did not pass", "cpu: no check has passed"]),
    ('stages = ["static"]\nmax_age = "7d"', {"a": "PASS", "days": "9"}, ["and 7d is the most"]),
    ('max_age = "7d"', {"a": "FAIL"}, ["static: a did not pass"]),
    ('stages = ["gpu"]\ngpus = ["H100"]', {"a": "PASS"}, ["gpu: no check has passed on H100"]),
])  # fmt: skip
def test_what_is_missing_is_named_and_nothing_is_copied(
    run: Run, there: Registry, tmp_path: Path, asks: str, told: dict[str, str], lacks: list[str]
) -> None:
    site(tmp_path, there, asks)
    made = staged(tmp_path, there, "one", 1, **told)
    code, out, err = run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")
    assert code == 5 and not out and all(line in err for line in lacks), err
    assert not there.manifests.get(PROD) and not there.blobs.get(PROD)


def test_back_to_the_one_before_and_never_to_one_that_was_taken_back(run: Run, there: Registry, tmp_path: Path) -> None:
    made = [staged(tmp_path, there, name, day, a="PASS") for day, name in enumerate(("one", "two", "three"), 1)]
    for image in made:
        assert run("promote", f"{there.address}/{STAGING}@{image.digest}", "--to", "prod")[0] == 0
    code, out, err = run("rollback", "prod")
    assert code == 0 and out.endswith(f"@{made[1].digest}\n"), err
    assert tags(there)[PROFILE] == tags(there)[BARE] == made[1].digest
    assert tags(there)[f"{PROFILE}-20261103-aaaaaaa"] == made[2].digest, "what never moves has not"
    code, out, err = run("rollback", "prod")
    assert code == 0 and out.endswith(f"@{made[0].digest}\n"), err
    code, _, err = run("rollback", "prod")
    assert code == 5 and "there is no image before" in err
    code, out, err = run("rollback", "prod", "--tag", PROFILE, "--to", made[2].digest)
    assert code == 0 and tags(there)[PROFILE] == made[2].digest and tags(there)[BARE] == made[0].digest
    for arguments, said in (
        (("--tag", f"{PROFILE}-20261101-aaaaaaa"), "never moves"), (("--to", PROFILE), "is no digest"),
        (("--tag", PROFILE, "--to", f"sha256:{'0' * 64}"), "has no image"),
    ):  # fmt: skip
        code, _, err = run("rollback", "prod", *arguments)
        assert code == 2 and said in err, err


def test_a_name_never_goes_back_to_an_image_of_something_else(run: Run, there: Registry, tmp_path: Path) -> None:
    made = staged(tmp_path, there, "one", 1, a="PASS")
    assert run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")[0] == 0
    other = labelled(tmp_path / "other", "other", {"profile": "vision", "torch": "2.4.1", "cuda": "12.1"})
    push(other, Sending(target(there, PROD)), [])
    prove(there, other, PROD, a="PASS")
    code, _, err = run("rollback", "prod", "--tag", PROFILE, "--to", other.digest)
    assert code == 2 and "is an image of vision" in err and tags(there)[PROFILE] == made.digest


def test_a_proof_that_only_this_machine_has_goes_along(run: Run, there: Registry, tmp_path: Path) -> None:
    made = staged(tmp_path, there, "one", 1)
    raw = {"image": made.id, "seconds": 1.0, "time": NOW.isoformat(timespec="seconds"),
           "checks": [{"check": "a", "stage": "static", "status": "PASS", "seconds": 1.0}]}  # fmt: skip
    folder = tmp_path / "state/imagekit/evidence"
    folder.mkdir(parents=True)
    (folder / "1-x.json").write_text(json.dumps(raw))
    assert run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")[0] == 0
    assert len(attached.all_of(target(there, PROD), made.digest)) == 1


def test_a_name_that_somebody_made_up_is_not_taken(run: Run, there: Registry, tmp_path: Path) -> None:
    first = staged(tmp_path, there, "one", 1, a="PASS")
    bare = labelled(tmp_path / "bare", "bare", {"profile": "video-llm", "torch": "2.4.1", "cuda": "12.1"})
    push(bare, Sending(target(there, STAGING)), [])
    prove(there, bare, a="PASS")
    for name in ("../../other/manifests/x-20261122-aaaaaaa", f"{PROFILE}-20261101-aaaaaaa"):
        row = {publish.NAMES: json.dumps({name: ""})}
        referrers.attach(target(there, STAGING), bare.digest, publish.HISTORY, name.encode(), row)
    for at in (f"@{bare.digest}", f":{PROFILE}-20261101-aaaaaaa@{bare.digest}"):
        code, _, err = run("promote", f"{there.address}/{STAGING}{at}", "--to", "prod")
        assert code == 2 and "nothing says which name" in err, err
    assert not there.manifests.get(PROD) and first.digest != bare.digest


def test_the_one_before_was_removed(run: Run, there: Registry, tmp_path: Path) -> None:
    made = [staged(tmp_path, there, name, day, a="PASS") for day, name in enumerate(("one", "two", "three"), 1)]
    for image in made:
        run("promote", f"{there.address}/{STAGING}@{image.digest}", "--to", "prod")
    del there.manifests[PROD][made[1].digest]
    assert run("rollback", "prod")[0] == 0 and tags(there)[PROFILE] == made[0].digest


def test_never_back_to_one_that_has_failed_since(run: Run, there: Registry, tmp_path: Path) -> None:
    made = [staged(tmp_path, there, name, day, a="PASS") for day, name in enumerate(("one", "two", "three"), 1)]
    for image in made:
        run("promote", f"{there.address}/{STAGING}@{image.digest}", "--to", "prod")
    prove(there, made[1], PROD, after=60, a="FAIL")
    code, out, err = run("rollback", "prod")
    assert code == 0 and out.endswith(f"@{made[0].digest}\n"), err


def test_an_old_proof_is_good_enough_to_go_back(run: Run, there: Registry, tmp_path: Path) -> None:
    site(tmp_path, there, 'stages = ["static"]\n')
    made = [staged(tmp_path, there, name, day, a="PASS", days="90") for day, name in enumerate(("one", "two"), 1)]
    for image in made:
        assert run("promote", f"{there.address}/{STAGING}@{image.digest}", "--to", "prod")[0] == 0
    site(tmp_path, there, 'stages = ["static"]\nmax_age = "7d"\n')
    assert run("rollback", "prod")[0] == 0 and tags(there)[PROFILE] == made[0].digest


@pytest.mark.parametrize(("arguments", "said"), [
    (("promote", "{}/staging/pytorch:nothing", "--to", "prod"), "has no image"),
    (("promote", "{}/staging/pytorch:" + PROFILE, "--to", "canary"), "the site has no [promote.canary]"),
    (("promote", "{}/prod/pytorch:" + PROFILE, "--to", "prod"), "is where prod is itself"),
    (("promote", "pytorch:" + PROFILE, "--to", "prod"), "names no registry"),
    (("rollback", "canary"), "the site has no [promote.canary]"),
    (("rollback", "prod", "--tag", "nothing"), "has no nothing"), (("rollback", "prod", "--tag", "../x"), "has no ../x"),
    (("rollback", "prod", "--repository", "other"), "has a move on record"),
])  # fmt: skip
def test_what_cannot_be_is_said(
    run: Run, there: Registry, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    made = staged(tmp_path, there, "one", 1, a="PASS")
    assert run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")[0] == 0
    code, out, err = run(*(part.format(there.address) for part in arguments))
    assert code == 2 and not out and said in err, err


def test_what_else_is_attached_goes_along_but_the_moves_of_staging(run: Run, there: Registry, tmp_path: Path) -> None:
    made = staged(tmp_path, there, "one", 1, a="PASS")
    referrers.attach(target(there, STAGING), made.digest, "application/spdx+json", b"{}", {"a": "b"})
    assert run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")[0] == 0
    (one,) = referrers.of(target(there, PROD), made.digest, "application/spdx+json")
    assert one.annotations == {"a": "b"} and referrers.content(target(there, PROD), one) == b"{}"


def test_to_another_registry(run: Run, there: Registry, tmp_path: Path) -> None:
    made = staged(tmp_path, there, "one", 1, a="PASS")
    with served(Registry()) as other:
        (tmp_path / "imagekit.toml").write_text(
            f'[promote.canary]\nrepository = "{other.address}/ml"\nstages = ["static"]\n'
        )
        code, out, err = run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "canary")
        assert code == 0 and out == f"{other.address}/ml/pytorch@{made.digest}\n", err
        assert other.whole("ml/pytorch", PROFILE) and " 0 blobs there" in err


@pytest.mark.parametrize("fault", [Fault("status", 500), Fault("before"), Fault("after")], ids=lambda one: one.kind)
def test_broken_off_anywhere_it_can_be_done_again(
    run: Run, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one request on nothing answers; then it does, and the same command ends it."""
    from imagekit.oci.wire import Wire

    monkeypatch.setattr(Wire, "rest", lambda *_: None)
    for number in range(2, 80, 4):
        with served(Registry()) as there:
            site(tmp_path, there, 'stages = ["static"]\n')
            made = staged(tmp_path, there, "one", 1, a="PASS")
            begun = len(there.asked)
            there.fault = lambda asked, at=begun + number: fault if asked.number >= at else None  # type: ignore[misc]
            code, _, err = run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")
            assert code in (0, 4) and "Traceback" not in err, err
            assert all(there.whole(PROD, tag) for tag in tags(there))
            there.fault = lambda _: None
            done, _, err = run("promote", f"{there.address}/{STAGING}@{made.digest}", "--to", "prod")
            assert done == 0 and set(tags(there).values()) == {made.digest} and len(tags(there)) == 3, err
        if code == 0:
            return
    raise AssertionError("there are more requests than were tried")
