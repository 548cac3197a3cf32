"""`targets:` of a profile and the site's fleet: the newest CUDA that all can run, or which of them are in the way."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.compat import facts
from imagekit.compat.choose import Asked, Choice, everything, misses
from imagekit.compat.fleet import pools
from imagekit.compat.nodes import Node, changes
from imagekit.compat.nodes import gpu as gpu_of
from imagekit.compat.resolve import resolve
from imagekit.compat.split import split
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
    # and the third: one image for each
    assert text.split("or 2 images, which together run on all targets\n")[1].split("\n")[:2] == [
        "       --torch 2.7.0 --cuda 12.8                    b200",
        "       --torch 2.7.0 --cuda 11.8                    v100",
    ]
    for wish, pool in (({"torch": "2.7.0", "cuda": "12.8"}, "b200"), ({"torch": "2.7.0", "cuda": "11.8"}, "v100")):
        assert resolved(pool, **wish).cuda == wish["cuda"], "what is offered can be had"


def machine(gpu: str, driver: str = "") -> Node:
    sm, row = gpu_of(gpu, facts.load())
    return Node(f"{gpu} {driver}", sm, row, driver, pool=True)


MACHINES = [
    machine(gpu, driver) for gpu in ("K80", "V100", "A100", "B200") for driver in ("470.57.02", "535.54.03", "")
]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(MACHINES), min_size=1, max_size=4, unique=True), st.sampled_from(["", "2.6", "2.8", "2.9"])
)
def test_a_split_is_the_fewest_images_that_run_everywhere(targets: list[Node], torch: str) -> None:
    known, wishes = facts.load(), Asked(torch=torch, suite="bookworm")
    parts = split(known, wishes, Asked(torch="2.4.1", cuda="12.1"), tuple(targets))

    def runs(choice: Choice, node: Node) -> bool:
        return not list(changes([node], choice.release, choice.variant, known))

    every = [choice for choice in everything(known) if not misses(choice, wishes)]
    able = {frozenset(node.name for node in targets if runs(choice, node)) for choice in every}

    def fewest() -> int:
        for size in (1, 2, 3):
            if any(len(frozenset().union(*sets)) == len(targets) for sets in combinations(able, size)):
                return size
        return 0

    if fewest() < 2:
        assert parts == ()
        return
    assert sorted(node.name for part in parts for node in part.targets) == sorted(node.name for node in targets)
    assert all(runs(part.choice, node) for part in parts for node in part.targets)
    assert all(not misses(part.choice, wishes) for part in parts)
    # one torch for all of them may need one image more
    assert len(parts) == fewest() or len({part.choice.release.version for part in parts}) == 1


def test_targets_of_a_profile_of_its_own() -> None:
    r = resolved("{gpu: B200}", '{gpu: A100, driver: "535.54.03"}', nodes=())
    assert r.cuda == "12.8"
    assert "runs on B200, A100 (driver 535.54.03)" in r.notes
    assert any("target B200 and target A100 (driver 535.54.03) ask for it" in note for note in r.notes)
    assert resolved("{gpu: sm_70}", "{gpu: sm_70}", nodes=()).torch == "2.4.1"


def test_a_file_of_nodes_is_a_target() -> None:
    item = {"metadata": {"labels": {
        "nvidia.com/gpu.product": "Tesla-V100-SXM2-32GB", "nvidia.com/cuda.driver.major": "470",
        "nvidia.com/cuda.driver.minor": "57", "nvidia.com/cuda.driver.rev": "02",
    }}}  # fmt: skip
    Path("nodes.json").write_text(json.dumps({"items": [item, item]}))
    r = resolved("{nodes: nodes.json}", nodes=())
    assert r.cuda == "11.8"
    assert "runs on Tesla-V100-SXM2-32GB (2 nodes)" in r.notes


def test_everything_that_is_wrong_with_targets_is_said_at_once() -> None:
    with pytest.raises(UsageError) as error:
        resolved("{gpu: B20}", "{nodes: none.json}", "v10")
    assert [line.partition(": ")[2] for line in error.value.details] == [
        "the facts do not know the GPU 'B20'; did you mean B200 or GB200 or L20?",
        "none.json is no file; kubectl get nodes -o json, or nvidia-smi -q -x",
        "v10: did you mean v100?",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "is empty"), ("['']", "is empty"), ("[{}]", "needs `gpu:`"),
        ("[{gpu: A100, nodes: x}]", "needs `gpu:`"), ("[{nodes: x, driver: '535.1'}]", "says the drivers"),
        ("[{gpu: A100, driver: new}]", "is not a driver version"), ("[{nodes: /etc/passwd}]", "outside of the profile"),
        ("[5]", "valid dictionary"),
    ],
)  # fmt: skip
def test_targets_that_say_nothing(line: str, said: str) -> None:
    Path("mine.yaml").write_text(f"extends: base\ntargets: {line}\n")
    with pytest.raises(UsageError) as error:
        load("./mine.yaml")
    assert said in str(error.value)


def test_a_child_adds_targets() -> None:
    Path("parent.yaml").write_text("extends: base\ntargets: [v100, {gpu: A100}]\n")
    Path("mine.yaml").write_text("extends: ./parent.yaml\ntargets: [{gpu: A100}, h100, h100]\n")
    assert [getattr(target, "gpu", target) for target in load("./mine.yaml").targets] == ["v100", "A100", "h100"]


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


def test_one_gpu_with_two_drivers_is_two_targets() -> None:
    """As a file of nodes has them, or two files, in any order; and what is called as a pool is called is another."""

    def nodes(*drivers: str) -> str:
        labels = [
            {"nvidia.com/gpu.product": "H100", "nvidia.com/cuda.driver-version.full": driver} for driver in drivers
        ]
        return json.dumps({"items": [{"metadata": {"labels": one}} for one in labels]})

    for name, drivers in (("old", ["450.80.02"]), ("new", ["580.65.06"]), ("mixed", ["450.80.02", "580.65.06"])):
        Path(f"{name}.json").write_text(nodes(*drivers))
    for targets in (["mixed"], ["old", "new"], ["new", "old"]):
        with pytest.raises(ImpossibleWish, match=r"H100 \(driver 450\.80\.02\)"):
            resolved(*(f"{{nodes: {name}.json}}" for name in targets), nodes=(), torch="2.15", base="distro:trixie")
    pool = pools({"H100": Pool(gpu="K80", driver="450.80.02")}, facts.load())
    with pytest.raises(ImpossibleWish, match="target H100"):
        resolved("H100", "{nodes: new.json}", nodes=pool, torch="2.9")
    assert resolved("{gpu: H100}", "{gpu: H100}", "{nodes: new.json}", nodes=()).torch == "2.4.1"


def test_hundreds_of_targets_are_told_in_a_few_lines() -> None:
    many = {f"p{n}": Pool(gpu=gpu, driver="535.54.03") for n, gpu in enumerate(["K80", "B200", "H100"] * 40)}
    with pytest.raises(ImpossibleWish) as error:
        resolved(*many, nodes=pools(many, facts.load()))
    assert len(str(error.value).splitlines()) < 45 and "and 111 more" in str(error.value)


def test_ways_out_of_a_fact_run_on_the_targets() -> None:
    with pytest.raises(ImpossibleWish, match="the facts refuse this") as error:
        resolved("b200", packages=("xformers==0.0.20",))  # type: ignore[arg-type]
    assert "--torch 2.0.1" not in "".join(line for line in error.value.details if "without" not in line)
