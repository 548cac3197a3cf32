"""A night that is killed outright at each request which changes the registry, and the night after it.

Building is stood in for by a push of a ready image, in the order of `imagekit build`: layers, manifest, proof and
record, names. What is around it (decisions, journal, promotion, record of the night) is the real thing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pytest
from registry_double import Asked, Fault, Registry, served
from small_images import labelled, target

from imagekit import papers, publish, several
from imagekit import report as reports
from imagekit.cells import document, judged
from imagekit.cells.document import Cell
from imagekit.cells.judged import Judged
from imagekit.errors import Surroundings
from imagekit.nightly import decide, engine, night, verdict, work
from imagekit.nightly.before import before
from imagekit.nightly.decide import Decision
from imagekit.nightly.reasons import Reason
from imagekit.nightly.state import Cell as Row
from imagekit.nightly.state import Night, State
from imagekit.nightly.verdict import Verdict
from imagekit.oci import referrers, wire
from imagekit.oci.image import Image
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.pipeline import the_site
from imagekit.proof.evidence import Kept
from imagekit.record import Record
from imagekit.report import Check, Report
from imagekit.tag import Names

STAGING, PROD = "staging/pytorch", "prod/pytorch"
TAGS = [f"2.4.1-cuda12.1-{name}" for name in ("video-llm", "vision")]
STEP = int(os.environ.get("IMAGEKIT_KILL_STEP", "5"))
"""Every fifth of them here; `make soak` has all."""

BARE = "2.4.1-cuda12.1"
NOW = datetime.now(timezone.utc)


@dataclass
class World:
    folder: Path
    there: Registry
    kill_at: int = -1
    """The number of the changing request at which whoever makes nights is killed."""
    after: bool = False
    changes: int = 0
    child: int = 0
    built: list[str] = field(default_factory=list)

    def fault(self, asked: Asked) -> Fault | None:
        if asked.method not in ("PUT", "POST", "PATCH", "DELETE"):
            return None
        self.changes += 1
        if self.changes != self.kill_at or not self.child:
            return None
        os.kill(self.child, signal.SIGKILL)
        return None if self.after else Fault("before")

    def image(self, tag: str) -> Image:
        name = tag.rpartition("-")[2] if tag.endswith("vision") else "video-llm"
        return labelled(self.folder / tag, tag, {"profile": name, "torch": "2.4.1", "cuda": "12.1"})


@pytest.fixture(params=[True, False], ids=["referrers", "no referrers"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    for kind in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "pipeline.yaml").write_text("matrix: {profile: [a]}\nnightly: {promote: [prod]}\n")
    with served(Registry(refers=request.param)) as there:
        made = World(tmp_path, there)
        there.fault = made.fault
        (tmp_path / "imagekit.toml").write_text(
            f'[registry]\npush = "{there.address}/staging"\nprod = "{there.address}/prod"\n'
        )
        monkeypatch.setattr(wire.Wire, "rest", lambda *_: None)
        monkeypatch.setattr(judged, "judge", lambda *_: [Judged(Cell(profile=t), tag=f"pytorch:{t}") for t in TAGS])
        monkeypatch.setattr(decide, "decide", decided)
        monkeypatch.setattr(work, "_job", lambda one, _: several.Job(one.cell.tag, ("build",)))
        monkeypatch.setattr(several, "run", lambda jobs, **calls: [build(made, job, **calls) for job in jobs])
        yield made


def decided(cells: list[Judged], _: object, site: object, __: object) -> tuple[list[Decision], tuple[str, ...]]:
    rows = [Decision(cell, before(cell.tag, site)) for cell in cells]  # type: ignore[arg-type]
    return [
        row if row.before and row.before.made and row.before.reports
        else Decision(row.cell, row.before, reasons=(Reason("new", "there is none"),))
        for row in rows
    ], ()  # fmt: skip


def build(
    world: World, job: several.Job, *, begins: Callable[[str], None], ended: Callable[[several.Outcome], None], **_: object
) -> several.Outcome:  # fmt: skip
    """In the order of `imagekit build --output registry:`."""
    begins(job.name)
    try:
        done = several.Outcome(job.name, 0, pushed(world, job))
    except Surroundings:  # as the command line does
        done = several.Outcome(job.name, 4, "")
    ended(done)
    return done


def pushed(world: World, job: several.Job) -> str:
    """What the command prints."""
    tag = job.name.rpartition(":")[2]
    image, there = world.image(tag), target(world.there, STAGING)
    push(image, Sending(there), [])
    raw = reports.as_json(
        Report(image.id, (Check("a", "static", "PASS"), Check("b", "cpu", "PASS")), 1.0, time=NOW.isoformat())
    )
    row = Record(
        tag=job.name, key="a" * 64, created="20261122", image=image.id, lock="l", base="b", torch="2.4.1", cuda="12.1",
        python="3.11", system={}, built={}, packages={},
    )  # fmt: skip
    publish.told(there, image.digest, [Kept(raw, reports.from_json(raw))])
    paper = papers.made_from(row, None)
    referrers.attach(there, image.digest, paper.kind, paper.content, paper.annotations)
    bare = f"pytorch:{BARE}" if tag == TAGS[0] else ""
    names = Names(f"pytorch:{tag}", f"pytorch:{tag}-20261122-aaaaaaa", bare=bare)
    settled = publish.settle(there, image.digest, names, NOW)
    result = {"reference": f"{world.there.address}/{STAGING}@{settled.digest}", "size": 1, "proof": raw}
    return json.dumps({**result, "record": row.model_dump()})


def a_night(world: World) -> int:
    """In a process of its own; its exit code, -9 when it was killed."""
    world.child = os.fork()
    if not world.child:
        try:
            code = 0
            night.run(night.Call(Path("pipeline.yaml")), the_site(None), lambda *_: None)
        except Surroundings:
            code = 4
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(world.child, 0)[1])
    world.child = 0
    return code


def nothing_is_wrong(world: World, whole: bool) -> None:
    """Every name leads to a whole image that was proven; `whole`: and all names are there, once."""
    for repository in (STAGING, PROD):
        held = {tag: d for tag, d in world.there.tags.get(repository, {}).items() if not tag.startswith("sha256-")}
        for tag, digest in held.items():
            kind = next((one for one in TAGS if tag.startswith(one)), TAGS[0])
            assert digest == world.image(kind).digest and world.there.whole(repository, tag)
            found = publish.attached.all_of(target(world.there, repository), digest)
            assert len(found) == 1, f"{repository}:{tag} has a name and no proof"
        if whole:
            assert sorted(held) == sorted([BARE, *TAGS, *(f"{tag}-20261122-aaaaaaa" for tag in TAGS)])


def test_killed_at_every_change(world: World) -> None:
    assert a_night(world) == 0
    nothing_is_wrong(world, whole=True)
    total = world.changes
    assert total > 24, "two images, each with proof, record, names and promotion"
    for number in range(1, total + 1, STEP):
        for store in (world.there.tags, world.there.manifests, world.there.blobs):
            store.clear()  # type: ignore[attr-defined]
        for path in (world.folder / "state").rglob("*"):
            if path.is_file():
                path.unlink()
        world.changes, world.kill_at, world.after = 0, number, bool(number % 2)
        assert a_night(world) == -9, number
        nothing_is_wrong(world, whole=False)
        world.kill_at = -1
        assert a_night(world) == 0, number
        nothing_is_wrong(world, whole=True)
        quiet = world.changes
        assert a_night(world) == 0
        assert world.changes == quiet, "the third night changes nothing"


@pytest.mark.parametrize("status", [401, 405, 500, 507])
def test_a_registry_that_goes_away_in_the_middle(world: World, status: int) -> None:
    """Down, full, read-only or with a login that has expired: the cell is bad, the other goes on, the next night mends."""
    assert a_night(world) == 0
    total = world.changes
    for number in range(1, total + 1, 3 * STEP):
        for store in (world.there.tags, world.there.manifests, world.there.blobs):
            store.clear()  # type: ignore[attr-defined]
        world.changes = 0
        seen = [0]

        def refuse(asked: Asked, number: int = number, seen: list[int] = seen) -> Fault | None:
            seen[0] += asked.method in ("PUT", "POST", "PATCH")
            return Fault("status", status) if seen[0] >= number and asked.method != "GET" else None

        world.there.fault = refuse
        assert a_night(world) in (0, 4)
        nothing_is_wrong_but_down(world)
        world.there.fault = world.fault
        assert a_night(world) == 0
        nothing_is_wrong(world, whole=True)


def nothing_is_wrong_but_down(world: World) -> None:
    world.there.fault = lambda _: None
    nothing_is_wrong(world, whole=False)


def test_a_part_of_the_matrix_and_promotion_alone(world: World, run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = run("nightly", "--only", "2.4.1-cuda12.1-vison")
    assert code == 2 and "has no image 2.4.1-cuda12.1-vison" in err and TAGS[1] in err
    code, _, err = run("nightly", "--promote-only", "--json")
    assert code == 4 and err.count("there is no such image") == 2
    code, out, _ = run("nightly", "--only", TAGS[1], "--json")
    assert code == 0 and [cell["tag"] for cell in json.loads(out)["cells"]] == [f"pytorch:{TAGS[1]}"]
    assert BARE not in world.there.tags[STAGING]
    world.there.tags[PROD].clear()
    code, out, _ = run("nightly", "--promote-only", "--only", TAGS[1], "--json")
    assert code == 0 and json.loads(out)["cells"][0]["promoted"] == {"prod": "moved"}
    assert TAGS[1] in world.there.tags[PROD]


def test_a_name_that_its_registry_holds_makes_the_image_bad(
    world: World, run: Callable[..., tuple[int, str, str]]
) -> None:
    there, tag = target(world.there, STAGING), TAGS[1]
    old = labelled(world.folder / "old", "old", {"profile": "vision", "torch": "2.4.1", "cuda": "12.1"})
    push(old, Sending(there), [tag])
    world.there.fault = lambda asked: (
        Fault("status", 412) if asked.method == "PUT" and asked.path.endswith(f"/{STAGING}/manifests/{tag}") else None
    )
    code, out, _ = run("nightly", "--only", tag, "--json")
    (cell,) = json.loads(out)["cells"]
    assert code == 4 and cell["state"] == "bad" and "stays where it is" in cell["why"][0] and not cell["promoted"]
    assert world.there.tags[STAGING][tag] == old.digest and PROD not in world.there.tags
    site = the_site(None)
    now = before(f"pytorch:{tag}", site)
    with pytest.raises(Surroundings, match=f"stays where it is, and {tag}-20261122-aaaaaaa is there"):
        decide._does_move(now, lambda _: [Reason("proof", "too old")], site)
    decide._does_move(now, lambda _: [Reason("plan", "another image is wanted")], site)


def test_what_an_engine_said_is_not_forgotten(world: World) -> None:
    """Neither by another machine nor by a lost folder: it is beside the image."""
    assert a_night(world) == 0
    there = target(world.there, STAGING)
    digest = there.digest_of(TAGS[0])
    assert verdict.of(there, digest) is None
    verdict.attach(there, digest, Verdict(True, ("a: 1 -> 2, 50% worse",), {"a": 2.0}))
    referrers.attach(there, digest, verdict.KIND, b"[]", {verdict.TIME: "9999"})
    now = before(f"pytorch:{TAGS[0]}", the_site(None))
    assert now.verdict == Verdict(True, ("a: 1 -> 2, 50% worse",), {"a": 2.0})
    world.there.tags[PROD].clear()
    settings = document.Night(engine=True, bench=document.Bench(), promote=("prod",))
    room = work.Room(settings, the_site(None), "", State(world.folder), Night(number=1, started=""), lambda *_: None)
    cell = work._promoted(Row(tag=f"pytorch:{TAGS[0]}", state="good", reference=now.reference), now, room)
    assert cell.promoted == {"prod": "held: a: 1 -> 2, 50% worse"} and not world.there.tags[PROD]
    other = before(f"pytorch:{TAGS[1]}", the_site(None))
    cell = work._promoted(Row(tag=f"pytorch:{TAGS[1]}", state="good", reference=other.reference), other, room)
    assert cell.promoted == {"prod": "held: no engine has proven it"}


def test_figures_are_of_a_machine_that_builds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image after the other, when the last of them is built; and then they are promoted."""
    order = list[str]()

    class Here:
        def __init__(self, reference: str, *_: object) -> None:
            self.digest = reference.rpartition("@")[2]

        def proven(self) -> int:
            order.append("proven")
            return 0

        def measured(self, *_: object) -> Verdict:
            order.append("measured")
            return Verdict(measured=True, figures={"a": 1.0})

    monkeypatch.setattr(engine, "Here", Here)
    settings = "nightly: {promote: [prod], engine: true, bench: {quick: true}}"
    (world.folder / "pipeline.yaml").write_text(f"matrix: {{profile: [a]}}\n{settings}\n")
    said = night.run(
        night.Call(Path("pipeline.yaml")), the_site(None),
        lambda what, text: order.append(what) if what in ("build", "measure", "built") else None,
    )  # fmt: skip
    one = ["measure", "proven", "measured", "built"]
    assert order == ["build", "build", *one, *one]
    assert [cell.promoted for cell in said.cells] == [{"prod": "moved"}] * 2
    assert [cell.figures for cell in said.cells] == [{"a": 1.0}] * 2


def test_what_goes_wrong_later_is_said_at_once(world: World, run: Callable[..., tuple[int, str, str]]) -> None:
    (world.folder / "pipeline.yaml").write_text(
        "matrix: {profile: [a]}\nnightly: {promote: [prd, prod], notify: 'env:NO_SUCH_HOOK'}\n"
    )
    for more in ((), ("--dry-run",)):
        code, _, err = run("nightly", *more)
        assert code == 2 and "no [promote.prd]" in err and "NO_SUCH_HOOK has no address" in err, err
    assert world.changes == 0
