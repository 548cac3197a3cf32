"""`imagekit compat`: what is possible, why not, and what is nearest."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagekit.cli.compat import command
from imagekit.compat import asking, facts, matrix, nodes, rules
from imagekit.compat.choose import Asked, everything, misses
from imagekit.compat.nodes import Node
from imagekit.compat.question import Answer, Question, answer, judge
from imagekit.errors import UsageError

FACTS = facts.load()
VERSIONS = [release.version for release in FACTS.releases]
CUDAS = sorted({variant.cuda for release in FACTS.releases for variant in release.variants}, key=float)


def ask(**asked: object) -> Answer:
    return answer(asking.question(FACTS, **asked), FACTS)  # type: ignore[arg-type]


def said(found: Answer, rule: str) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.text) for finding in found.findings if finding.rule == rule]


# torch x CUDA


@pytest.mark.parametrize("torch", VERSIONS)
def test_every_pair_of_torch_and_cuda(torch: str) -> None:
    built = {variant.cuda for variant in FACTS.variants_of(torch)}
    for cuda in CUDAS:
        found = ask(torch=torch, cuda=cuda)
        assert found.possible == (cuda in built), cuda
        assert bool(found.offers) != found.possible


def test_a_part_of_a_combination_is_completed() -> None:
    found = ask(gpus=["V100"], drivers=["470.57.02"])
    assert found.possible and found.choice is not None
    assert (found.choice.release.version, found.choice.variant.cuda) == ("2.7.1", "11.8")


# GPUs and drivers


@pytest.mark.parametrize(("text", "sm"), [
    ("RTX 3090", "sm_86"), ("3090", "sm_86"), ("NVIDIA GeForce RTX 3090", "sm_86"), ("sm_86", "sm_86"), ("8.6", "sm_86"),
    ("A100-SXM4-40GB", "sm_80"), ("h100", "sm_90"), ("H20", "sm_90"), ("sm_90a", "sm_90"), ("10.0", "sm_100"), ("L4", "sm_89"),
])  # fmt: skip
def test_a_gpu_as_people_write_it(text: str, sm: str) -> None:
    assert nodes.gpu(text, FACTS)[0] == sm


def test_h20_is_not_h200() -> None:
    assert nodes.gpu("H20", FACTS)[1] != nodes.gpu("H200", FACTS)[1]


@pytest.mark.parametrize(
    ("text", "hint"), [("H10O", "did you mean H100"), ("RTX 309", "RTX 3090"), ("sm_12", ""), ("3.0", "")]
)
def test_what_is_no_gpu(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        nodes.gpu(text, FACTS)
    assert hint in str(error.value)


@pytest.mark.parametrize(("torch", "cuda", "gpu", "verdict"), [
    ("2.9.1", "12.8", "B200", "yes"), ("2.9.1", "12.6", "B200", "no"), ("2.9.1", "13.0", "V100", "no"),
    ("2.4.1", "12.1", "L4", "yes"),  # code for sm_86 runs on sm_89
    ("2.4.1", "12.1", "B200", "no"), ("2.0.1", "11.7", "H100", "no"), ("2.0.1", "11.8", "H100", "yes"),
    ("2.15", "13.2", "V100", "no"),
])  # fmt: skip
def test_code_for_a_gpu(torch: str, cuda: str, gpu: str, verdict: str) -> None:
    (found,) = said(ask(torch=torch, cuda=cuda, gpus=[gpu]), "gpu")
    assert found[0] == verdict, found


@pytest.mark.parametrize(("cuda", "driver", "verdict"), [
    ("11.8", "450.80.01", "no"), ("11.8", "450.80.02", "note"), ("11.8", "520.61.05", "yes"), ("11.8", "595.10", "yes"),
    ("12.1", "470.57.02", "no"), ("12.1", "525.60.13", "note"), ("12.1", "R535", "yes"), ("12.1", "580.65.06", "yes"),
])  # fmt: skip
def test_a_driver(cuda: str, driver: str, verdict: str) -> None:
    found = said(ask(torch="2.4.1", cuda=cuda, drivers=[driver]), "driver")
    assert [v for v, _ in found] == [verdict], found


@pytest.mark.parametrize("gpu", ["V100", "sm_70"])
def test_a_driver_that_left_the_gpu_behind(gpu: str) -> None:
    found = ask(torch="2.4.1", gpus=[gpu], drivers=["595.45"])
    assert not found.possible and "branch 580 is its last" in said(found, "driver")[0][1]
    assert "driver of branch 580" in found.offers[0].changes


def test_ptx_needs_the_driver_of_its_toolkit() -> None:
    """PTX of a newer toolkit is not compiled by an older driver, whatever minor-version compatibility promises."""
    pairs = [(r, v) for r in FACTS.releases for v in r.variants if v.ptx and FACTS.toolkit(v.cuda).driver]  # type: ignore[union-attr]
    release, variant = pairs[-1]
    toolkit = FACTS.toolkit(variant.cuda)
    assert toolkit is not None and toolkit.driver and variant.ptx
    newer = f"sm_{int(variant.ptx[-1].removeprefix('compute_')) + 90}"
    assert nodes.runs(variant, newer) == variant.ptx[-1]
    for driver, verdict in ((toolkit.compat_driver, "no"), (toolkit.driver, "yes")):
        fits = {f.axis: f.verdict for f in nodes.fits(Node("new", newer, None, driver), release, variant, FACTS)}
        assert fits == {"gpu": "note", "driver": verdict}


def test_each_gpu_has_a_driver_or_all_have_one() -> None:
    question = asking.question(FACTS, gpus=["V100", "H100"], drivers=["470.57.02", "550.54"])
    assert [(node.name, node.driver) for node in question.nodes] == [("Tesla V100", "470.57.02"), ("H100", "550.54")]
    assert {node.driver for node in asking.question(FACTS, gpus=["V100", "H100"], drivers=["550.54"]).nodes} == {
        "550.54"
    }
    with pytest.raises(UsageError, match="cannot be read"):
        asking.question(FACTS, gpus=["V100"], drivers=["470.57.02", "550.54"])


# Packages, images


@pytest.mark.parametrize(("asked", "possible", "words"), [
    ({"torch": "2.7.0", "torchvision": "0.18.0"}, False, "torch 2.7.0 goes with torchvision 0.22.0"),
    ({"torch": "2.1.0", "torchvision": "0.16.0", "cuda": "11.8"}, True, "cuDNN 8.7.0.84"),
    ({"torch": "2.2", "packages": ["numpy==2.0.0"]}, False, "fails with NumPy 2"),
    ({"torch": "2.4", "packages": ["deepspeed==0.9.5"]}, False, "deepspeed before 0.14.4"),
    ({"torch": "2.1.0", "packages": ["deepspeed==0.9.5"]}, True, "predates torch 2.1"),
    ({"torch": "2.4.1", "packages": ["transformers==4.30.0"]}, True, "LoRA itself is in the package peft"),
    ({"torch": "2.4.1", "packages": ["pillow-simd==9.5.0.post2"]}, True, "not the decoding of JPEG"),
    ({"torch": "2.4.1", "packages": ["pillow==10.4.0", "pillow-simd==9.5.0.post2"]}, False, "both install PIL/"),
    ({"torch": "2.11", "cuda": "13.0", "packages": ["nvidia-cudnn-cu12==9.1.0.70"]}, False, "is for CUDA 12"),
    ({"base": "pytorch/pytorch:2.9-cuda11.7-cudnn8-runtime"}, False, "2.9.1-cuda12.6-cudnn9-runtime"),
    ({"base": "pytorch/pytorch:2.7.0-cuda11.8-cudnn8-runtime"}, False, "2.7.0-cuda11.8-cudnn9-runtime"),
    ({"base": "pytorch/pytorch:2.7.0-cuda11.8-cudnn9-runtime"}, True, "fits the pattern"),
    ({"base": "nvidia/cuda:12.1.1-devel-ubuntu22.04", "torch": "2.4.1"}, True, "CUDA is there twice"),
    ({"base": "nvidia/cuda:12.7.0-devel-ubuntu22.04"}, False, "no CUDA 12.7"),
    ({"torch": "2.4.1", "os": "trixie"}, False, ""),
    ({"torch": "2.4.1", "os": "ubuntu22.04", "python": "3.10"}, True, "Ubuntu 22.04"),
    ({"torch": "2.4.1", "base": "debian:bookworm-slim"}, True, "Debian 12"),
    ({"torch": "2.4.1", "base": "distro:bookworm", "os": "debian:12"}, True, "Debian 12"),
])  # fmt: skip
def test_what_goes_together(asked: dict[str, object], possible: bool, words: str) -> None:
    found = ask(**asked)
    assert found.possible is possible
    assert any(words in finding.text for finding in found.findings) or not words
    assert possible or found.offers


def test_support_that_has_ended() -> None:
    (line,) = said(ask(os="bullseye", torch="2.4.1", today="2026-11-21"), "lifecycle")
    assert line[0] == "note" and "2024-08-14" in line[1]
    assert said(ask(os="bullseye", torch="2.4.1", today="2023-01-01"), "lifecycle") == []
    (line,) = said(ask(os="bullseye", torch="2.4.1", today="2024-07-01"), "lifecycle")
    assert "ends on 2024-08-14" in line[1]


@pytest.mark.parametrize(("driver", "day", "words"), [
    ("535.183.01", "2026-11-21", "driver branch 535 (long-term) has been without support since 2026-06"),
    ("535.183.01", "2026-06-30", "support of driver branch 535 (long-term) ends in 2026-06"),
    ("535.183.01", "2025-06-30", ""), ("470.57.02", "2026-11-21", "driver branch 470 is end of life"),
    ("470.57.02", "2024-01-01", ""), ("R580", "2026-11-21", ""), ("999.1", "2026-11-21", ""),
])  # fmt: skip
def test_support_of_a_driver(driver: str, day: str, words: str) -> None:
    found = [text for _, text in said(ask(torch="2.4.1", gpus=["H100"], drivers=[driver], today=day), "lifecycle")]
    assert found == [] if not words else words in found[0]
    twice = ask(torch="2.4.1", gpus=["H100", "A100"], drivers=[driver], today=day)
    assert len([1 for _, text in said(twice, "lifecycle") if "driver" in text]) == len(found), "once for a branch"


def test_every_no_names_its_fact_and_every_rule_is_told_apart() -> None:
    names = [rule.name for rule in rules.ALL]
    assert len(names) == len(set(names)) and all(rule.about.endswith(".") for rule in rules.ALL)
    for torch, gpu in product(VERSIONS, ["V100", "B200"]):
        found = ask(torch=torch, gpus=[gpu], drivers=["470.57.02"], packages=["numpy==2.0.0"])
        assert all(finding.fact for finding in found.findings)
        assert {finding.rule for finding in found.findings} <= set(names)


# The way out


def brute(question: Question) -> int:
    """The fewest changes that make a question possible, by trying every choice of the facts and judging it anew."""
    best = 99
    for choice in everything(FACTS):
        count = len(misses(choice, question.asked))
        bad = [finding for finding in judge(choice, question, FACTS) if finding.verdict == "no"]
        on_nodes = 0
        for node in question.nodes:
            alone = Question(nodes=(node,))
            on_nodes += any(f.verdict == "no" and f.rule in ("gpu", "driver") for f in judge(choice, alone, FACTS))
        rest = {finding.tip or finding.text for finding in bad if finding.rule not in ("gpu", "driver")}
        best = min(best, count + on_nodes + len(rest))
    return best


@pytest.mark.parametrize(("asked", "gpus", "drivers", "packages"), [
    ({"torch": torch, "cuda": cuda}, gpus, drivers, packages)
    for torch, cuda in (("2.9", "11.8"), ("", "13.0"), ("2.1.0", ""))
    for gpus, drivers in ((["V100"], ["470.57.02"]), (["V100", "B200"], ["470.57.02", "580.65.06"]), ([], []))
    for packages in ([], ["numpy==2.0.0", "torchvision==0.16.0"])
])  # fmt: skip
def test_the_first_way_out_is_a_smallest_one_and_each_works(
    asked: dict[str, str], gpus: list[str], drivers: list[str], packages: list[str]
) -> None:
    question = asking.question(FACTS, gpus=gpus, drivers=drivers, packages=packages, **asked)  # type: ignore[arg-type]
    found = answer(question, FACTS)
    fewest = brute(question)
    assert found.possible == (fewest == 0)
    if found.possible:
        return
    assert len(found.offers[0].changes) == fewest and len(found.offers) <= 3
    assert len({offer.changes for offer in found.offers}) == len(found.offers) or fewest == 1
    for offer in found.offers:
        versions, system = Asked(offer.choice.release.version, offer.choice.variant.cuda), offer.choice.system
        left = tuple(
            node for node in question.nodes
            if not any(change.startswith("without") and (node.gpu and node.gpu.name in change) for change in offer.changes)
        )  # fmt: skip
        if not any(change.startswith("driver") for change in offer.changes):
            again = Question(Asked(versions.torch, versions.cuda, system.python, system.suite), nodes=left)
            assert answer(again, FACTS).possible, offer


# What is wrong is said at once


def test_everything_that_cannot_be_read_is_said_at_once() -> None:
    with pytest.raises(UsageError) as error:
        asking.question(
            FACTS, torch="two", cuda="x", python="snake", os="bookwurm", gpus=["H10O"], drivers=["new"],
            packages=["numpy>=2", "???"], base="acme",
        )  # fmt: skip
    text = str(error.value)
    for option in ("--torch", "--cuda", "--python", "--os", "--gpu", "--driver", "--package: 'numpy>=2'", "--base"):
        assert option in text, option


@pytest.mark.parametrize("asked", [
    {"torch": "2.4.1+cu118", "cuda": "12.1"}, {"os": "bookworm", "base": "nvidia/cuda:12.1.1-base-ubuntu22.04"},
    {"packages": ["torch==2.4.1"]},
])  # fmt: skip
def test_what_contradicts_itself(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ask(**asked)


# The command line


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, list(arguments))
    return done.exit_code, done.output


def test_the_exit_code_is_the_answer() -> None:
    code, text = run("check", "--torch", "2.9", "--cuda", "11.8", "--gpu", "V100", "--driver", "470.57.02")
    assert (
        code == 3
        and text.startswith("no   there is no torch 2.9 for CUDA 11.8")
        and "--torch 2.7.1 --cuda 11.8" in text
    )
    code, text = run("check", "--torch", "2.4.1", "--gpu", "3090", "--driver", "535.183.01")
    assert code == 0 and text.startswith("yes  torch 2.4.1 + CUDA 12.1") and "imagekit build base --torch 2.4.1" in text


def test_a_script_reads_json() -> None:
    code, text = run("check", "--torch", "2.9", "--cuda", "11.8", "--json")
    read = json.loads(text)
    assert code == 3 and read["possible"] is False and read["stack"] is None
    assert read["offers"][0]["torch"] == "2.7.1" and read["offers"][0]["changes"] == ["torch"]
    code, text = run("check", "--gpu", "B200", "--json")
    assert code == 0 and {finding["verdict"] for finding in json.loads(text)["findings"]} <= {"yes", "note"}


def test_the_table() -> None:
    code, text = run()
    first, *rows = text.splitlines()
    assert code == 0 and first.split()[:4] == ["torch", "vision", "audio", "Python"]
    assert sum(row.split()[:1] == [version] for row in rows for version in VERSIONS) == len(VERSIONS)
    assert max(map(len, text.splitlines())) <= 120
    code, text = run("--gpu", "V100", "--driver", "470.57.02", "--json")
    assert code == 0 and {build["cuda"] for row in json.loads(text) for build in row["builds"]} == {
        "11.6",
        "11.7",
        "11.8",
    }
    code, text = run("--torch", "2.9", "--cuda", "11.8")
    assert code == 3 and "compat check" in text


def test_the_table_has_what_check_says_is_possible() -> None:
    for gpu in ("V100",):
        table = {
            (row.release.version, variant.cuda)
            for row in matrix.rows(asking.question(FACTS, gpus=[gpu]), FACTS) for variant in row.variants
        }  # fmt: skip
        assert table == {(v, c) for v, c in product(VERSIONS, CUDAS) if ask(torch=v, cuda=c, gpus=[gpu]).possible}


def test_no_way_out_contradicts_itself() -> None:
    for asked in ({"torch": "2.9.1", "packages": ["xformers==0.0.28"]}, {"torch": "2.13", "packages": ["torchcodec==0.1.0"]},
                  {"torch": "2.12.0", "cuda": "12.6", "packages": ["onnxruntime-gpu==1.27.0"]}):  # fmt: skip
        found = ask(**asked)
        changes = [change for offer in found.offers for change in offer.changes]
        assert not found.possible and not [change for change in changes if change.startswith("torch") and "=" in change]
        assert all(len(change) < 60 for change in changes)


def test_what_is_not_known_is_not_a_yes() -> None:
    assert not ask(torch="2.10", gpus=["K80"]).possible
    new = Node("new", "", None, "580.65.06", pool=True, model="Z9000")
    found = answer(Question(Asked("2.9.1"), nodes=(new,)), FACTS)
    assert ("unknown", "new: the facts do not know the GPU 'Z9000', so nobody can say") in said(found, "gpu")


@pytest.mark.parametrize(("pin", "possible"), [
    ("nvidia-cudnn-cu12==8.9.2.26", False), ("nvidia-cudnn-cu12==9.1.0.70", True), ("nvidia-nccl-cu12==2.20.5", True),
    ("nvidia-nccl-cu12==2.19.3", False), ("triton==2.0.0", False), ("triton==3.0.0", True),
])  # fmt: skip
def test_what_torch_requires_in_one_version(pin: str, possible: bool) -> None:
    assert ask(torch="2.4.1", cuda="12.1", packages=[pin]).possible is possible


def test_the_command_that_builds_it_builds_that() -> None:
    _, text = run("check", "--torch", "2.4.1", "--os", "jammy")
    assert "imagekit build base --torch 2.4.1 --cuda 12.1 --base distro:jammy" in text


def test_every_rule_has_its_heading_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/compat.md").read_text()
    section = page[page.index("## Rules") :].split("\n## ")[0]
    named = {line.removeprefix("### ") for line in section.splitlines() if line.startswith("### ")}
    assert named - {"What is not judged"} == {rule.name for rule in rules.ALL} | {"indexes", "pins"}


def test_a_question_loads_no_pydantic() -> None:
    """It takes half of the time that a question may take."""
    program = (
        "import sys; from imagekit import cli; code = cli.execute(); assert code == 0, code; "
        "sys.exit('pydantic' in sys.modules)"
    )
    for asked in (["compat"], ["compat", "check", "--torch", "2.9", "--gpu", "V100", "--driver", "535.183.01"]):
        done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (asked, done.stderr)
