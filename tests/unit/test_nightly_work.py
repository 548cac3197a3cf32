"""A night and what is around it: nodes that should have GPUs, a disk that is full, inputs that are other ones by now."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from imagekit import pipeline, several
from imagekit import report as reports
from imagekit.bench import measured
from imagekit.cells import document, judged
from imagekit.cells.document import Cell
from imagekit.cells.judged import Judged
from imagekit.errors import NotProven, Surroundings
from imagekit.nightly import decide, night, runners, work
from imagekit.nightly.before import Before
from imagekit.nightly.decide import Decision
from imagekit.nightly.engine import Here
from imagekit.nightly.reasons import Reason
from imagekit.nightly.runners import Waiting, Word
from imagekit.nightly.state import Cell as Row
from imagekit.nightly.state import Night, State
from imagekit.oci import reference as references
from imagekit.report import Check, Report
from imagekit.site import Site
from imagekit.site.model import Runner

PLACE = references.parse("127.0.0.1:5000/staging/pytorch")
THERE = Before(PLACE, "a", f"sha256:{'1' * 64}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGEKIT_SITE", raising=False)
    for kind in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    return pipeline.the_site(None)


# --- runners


def test_a_gpu_is_required_where_a_runner_has_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is broken there is a failure, and not a proof with checks left out."""
    calls = list[tuple[str, ...]]()

    def ran(jobs: list[several.Job], **_: object) -> list[several.Outcome]:
        calls.extend(job.arguments for job in jobs)
        raw = reports.as_json(Report(THERE.digest, (Check("cuda", "gpu", "FAIL"),), 1.0))
        return [several.Outcome(job.name, NotProven.exit_code, json.dumps(raw)) for job in jobs]

    monkeypatch.setattr(several, "run", ran)
    own = site.settings.model_copy(update={"runners": {"h100": Runner(gpus=2), "cpu": Runner(gpus=0)}})
    waiting = [Waiting(Row(tag="pytorch:a", state="good"), THERE, ("h100", "cpu"))]
    words = runners.ask(waiting, replace(site, settings=own), "there.toml", lambda *_: None)
    image = f"registry:{THERE.reference}"
    assert calls == [
        ("test", image, "--on", "h100", "--require-gpu", "--json", "--site", "there.toml"),
        ("test", image, "--on", "cpu", "--json", "--site", "there.toml"),
    ]
    assert words["pytorch:a"]["h100"].bad


# --- a disk that is full


def room(site: Site, state: State, **changes: object) -> work.Room:
    begun = state.begin("p", "1", datetime.now(timezone.utc))
    return replace(work.Room(document.Night(), site, "", state, begun, lambda *_: None), **changes)  # type: ignore[arg-type]


def test_a_log_that_cannot_be_written_is_told(site: Site, tmp_path: Path) -> None:
    own = room(site, State(tmp_path / "nights"))
    own.log("pytorch:a").mkdir()
    image = Waiting(Row(tag="pytorch:a", state="good"), THERE, ("h100",))
    wanted = Decision(Judged(Cell(profile="a"), tag="pytorch:a"), THERE, reasons=(Reason("proof", "too old"),))
    for call in (
        lambda: work._log(own, "pytorch:a", "a line"),
        lambda: work._on_runners(image, {"h100": Word("gpu 1", ("a line",))}, own),
        lambda: work.work([wanted], own, lambda: None),
    ):
        with pytest.raises(Surroundings, match="a log of the night cannot be kept: ") as caught:
            call()
        assert "disk" in caught.value.hint


class Figures:
    """What a bench writes, as far as a night reads it."""

    bad: tuple[str, ...] = ()
    problem = ""

    def metrics(self) -> list[tuple[str, object]]:
        return []


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """An image in an engine, whose bench writes its figures."""
    made = Here.__new__(Here)
    made.image, made._slower = "sha256:1", []

    def call(*arguments: str) -> several.Outcome:
        Path(arguments[-1]).write_text('{"figures": 1}')
        return several.Outcome("", 0, "")

    monkeypatch.setattr(made, "_call", call)
    monkeypatch.setattr(measured, "from_json", lambda _: Figures())
    return made


def test_the_first_figures_are_kept_whole_or_not_at_all(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline, out = tmp_path / "baselines/a.json", tmp_path / "a.bench.json"
    assert here.measured(document.Bench(), baseline, out).measured and baseline.read_text() == out.read_text()
    baseline.unlink()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Surroundings, match="the baseline cannot be kept: No space left") as caught:
        here.measured(document.Bench(), baseline, out)
    assert "disk" in caught.value.hint and not list(baseline.parent.iterdir())


# --- what is other than when the night was broken off


@dataclass
class World:
    folder: Path
    looked: list[list[str]]
    """Tags that each night had to decide."""

    def night(self, broken: str = "") -> Night:
        """`broken`: the tag at which it is broken off."""
        self.broken = broken
        return night.run(
            night.Call(Path("pipeline.yaml"), folder=Path("nights")), pipeline.the_site(None), lambda *_: None
        )


@pytest.fixture
def world(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, [])

    def decided(cells: list[Judged], *_: object) -> tuple[list[Decision], tuple[str, ...]]:
        made.looked.append([cell.tag for cell in cells])
        return [Decision(cell) for cell in cells], ()

    def worked(decisions: list[Decision], own: work.Room, _: object) -> list[Row]:
        rows = []
        for one in decisions:
            if made.broken and made.broken in one.cell.tag:
                raise KeyboardInterrupt
            rows.append(Row(tag=one.cell.tag, state="good", did="built", inputs=own.inputs[one.cell.tag]))
            own.state.note(rows[-1])
        return rows

    monkeypatch.setattr(decide, "decide", decided)
    monkeypatch.setattr(night, "work", worked)
    (tmp_path / "pipeline.yaml").write_text("matrix: {profile: [./a.yaml, ./b.yaml, ./c.yaml], overlay: [over.yaml]}\n")
    (tmp_path / "imagekit.toml").write_text('[registry]\npush = "127.0.0.1:1/staging"\n')
    (tmp_path / "over.yaml").write_text("env: {SITE: one}\n")
    (tmp_path / "data").write_text("one")
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(
            "extends: tiny\n" + ("files: {data: /srv/data}\n" if name == "b" else "")
        )
    with pytest.raises(KeyboardInterrupt):
        made.night(broken="-c-")
    return made


@pytest.mark.parametrize(("file", "text", "again"), [
    ("a.yaml", "extends: tiny\n# a comment is no other image\n", "c"),
    ("a.yaml", "extends: tiny\nenv: {A: two}\n", "ac"),
    ("data", "two", "bc"),
    ("over.yaml", "env: {SITE: two}\n", "abc"),
    ("imagekit.toml", '[registry]\npush = "127.0.0.1:1/staging"\n[build]\njobs = 3\n', "abc"),
])  # fmt: skip
def test_only_what_is_another_one_is_done_again(world: World, file: str, text: str, again: str) -> None:
    names = {tag: next(name for name in "abc" if f"-{name}-" in tag) for tag in world.looked[0]}
    (world.folder / file).write_text(text)
    done = world.night()
    assert "".join(sorted(names[tag] for tag in world.looked[-1])) == again
    assert [cell.state for cell in done.cells] == ["good"] * 3


def test_an_image_below_that_moved_is_not_another_input(world: World, site: Site) -> None:
    """The night that was broken off has written the lock by which it is another one."""
    (cell, *_) = judged.judge([Cell(profile="./a.yaml")], site)
    assert cell.resolution and night._inputs(cell)
    base = cell.resolution.base.model_copy(update={"digest": f"sha256:{'2' * 64}"})
    moved = replace(cell, resolution=cell.resolution.model_copy(update={"base": base}))
    assert night._inputs(moved) == night._inputs(cell)
