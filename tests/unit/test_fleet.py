"""`targets:` of a profile and the site's fleet: the newest CUDA that all can run, or which of them are in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagekit.compat import facts
from imagekit.compat.fleet import pools
from imagekit.compat.nodes import Node
from imagekit.compat.resolve import resolve
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.profile import Wishes, load
from imagekit.resolution import Resolution
from imagekit.site.model import Pool

FLEET = {
    "v100": Pool(gpu="V100", driver="470.57.02", nodes=120), "h100": Pool(gpu="H100", driver="550.54.14", nodes=48),
    "b200": Pool(gpu="B200", driver="580.65.06"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fleet() -> tuple[Node, ...]:
    return pools(FLEET, facts.load())


def resolved(*targets: str, nodes: tuple[Node, ...] | None = None, **wishes: str) -> Resolution:
    Path("mine.yaml").write_text(f"extends: base\ntargets: [{', '.join(targets)}]\n")
    return resolve(load("./mine.yaml"), Wishes(**wishes), nodes=fleet() if nodes is None else nodes)  # type: ignore[arg-type]


def test_cuda_moves_to_what_every_target_runs() -> None:
    r = resolved("v100", "h100")
    assert (r.torch, r.cuda, r.torch_index) == ("2.4.1", "11.8", "pytorch")
    assert "cuda moves from 12.1 to 11.8: target v100 and target h100 ask for it" in r.notes
    assert "runs on v100 (120 nodes), h100 (48 nodes)" in r.notes
    (line,) = [note for note in r.notes if note.startswith("does not run on b200")]
    assert "no code in torch 2.4.1+cu118" in line and line.endswith("[torch/2.4.1/cu118]")
    (cuda,) = [reason for reason in r.reasons if reason.subject == "cuda"]
    assert cuda.because == "moved from 12.1, the profile's preference"


def test_torch_moves_for_a_gpu_that_it_has_no_code_for() -> None:
    r = resolved("b200")
    assert r.torch == "2.7.0" and r.cuda == "12.8"


def test_what_runs_everywhere_stays() -> None:
    r = resolved("h100")
    assert (r.torch, r.cuda) == ("2.4.1", "12.1") and not [note for note in r.notes if "moves" in note]


def test_targets_that_split_are_refused_with_who_is_in_the_way() -> None:
    with pytest.raises(ImpossibleWish, match="no torch that runs on all targets") as error:
        resolved("v100", "b200")
    text = str(error.value)
    assert "target v100      Tesla V100, driver 470.57.02" in text
    assert "v100: driver 470.57.02 is too old for CUDA 12.1, which needs 525.60.13   [cuda/12.1]" in text
    for way in ("without b200", "without v100", "driver >= 525.60.13 on v100"):
        assert way in text, way


def test_a_wish_and_a_target() -> None:
    with pytest.raises(ImpossibleWish, match="no torch 2.9 that runs on all targets") as error:
        resolved("v100", torch="2.9")
    first = next(line for line in error.value.details if line.startswith("  1"))
    assert "--torch 2.7.1" in first
    assert resolved("v100", torch="2.7").cuda == "11.8"


def test_a_wish_that_no_build_meets_is_refused_as_that() -> None:
    with pytest.raises(ImpossibleWish, match=r"^there is no torch 2.9 for CUDA 11.8\n"):
        resolved("h100", torch="2.9", cuda="11.8")


def test_without_targets_the_fleet_is_told_and_decides_nothing() -> None:
    r = resolve(load("base"), Wishes(), nodes=fleet())
    assert (r.torch, r.cuda) == ("2.4.1", "12.1")
    assert "runs on h100 (48 nodes)" in r.notes
    assert sum(note.startswith("does not run on") for note in r.notes) == 2


def test_a_target_that_is_no_pool() -> None:
    with pytest.raises(UsageError) as error:
        resolved("v10", "a100x", "h100")
    assert [line.partition(": ")[2] for line in error.value.details] == [
        "v10: did you mean v100?", "a100x: did you mean v100?",
    ]  # fmt: skip
    assert all(line.startswith("mine.yaml:2") for line in error.value.details)


def test_without_a_fleet_that_is_said() -> None:
    assert "targets v100 are not checked: the site names no fleet" in resolved("v100", nodes=()).notes


def test_a_gpu_that_nobody_knows_is_said_and_in_nobodys_way() -> None:
    nodes = pools({"new": Pool(gpu="Z9000", driver="999.1")}, facts.load())
    r = resolved("new", nodes=nodes)
    assert "new: the facts do not know the GPU 'Z9000', so nobody compared" in r.notes
