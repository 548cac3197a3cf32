"""Builds of torch that only PyTorch's own index has (cu118): asked for by their names, at the index of that CUDA.

That index need not be reachable: a local index of stand-in wheels takes its place, laid out as it is, one folder for
each CUDA. What is proven is which names, versions and index are asked, not that the real wheels run; everything but torch
and torchvision is locked from the real default index.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import standins
from rooms import Room, make

from imagekit.lock.model import Lock, read

LOCK = "locks/multimodal/2.1.0-cuda11.8-py311.json"


def wheels(variant: str) -> list[standins.Wheel]:
    return [
        standins.Wheel("torch", f"2.1.0+{variant}", ("filelock", "triton==2.1.0")),
        standins.Wheel("torch", f"2.1.1+{variant}", ("filelock",)),
        standins.Wheel("torchvision", f"0.16.0+{variant}", ("torch==2.1.0", "numpy")),
    ]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    folder = tmp_path_factory.mktemp("variants")
    for variant in ("cu118", "cpu"):
        standins.index(folder / "whl" / variant, wheels(variant))
    made = make(folder, folder)
    url = (folder / "whl").as_uri() + "/{variant}/simple"
    (folder / "imagekit.toml").write_text(f'[indexes.pytorch]\nurl = "{url}"\n')
    return made


@pytest.fixture(scope="module")
def lock(room: Room) -> Lock:
    done = room.good("lock", "multimodal", "--cuda", "11.8")
    assert "torch 2.1.0 + CUDA 11.8 (cu118)" in done.stderr
    return read(room.folder / LOCK)


def test_local_versions_come_from_the_index_of_that_cuda(lock: Lock) -> None:
    found = {package.name: (package.version, package.index) for package in lock.packages}
    assert found["torch"] == ("2.1.0+cu118", "pytorch")
    assert found["torchvision"] == ("0.16.0+cu118", "pytorch")
    assert found["deepspeed"] == ("0.9.5", "pypi") and found["transformers"] == ("4.30.0", "pypi")
    assert found["triton"] == ("2.1.0", "pypi")
    asked = {want.requirement for want in lock.resolution.wants if want.index == "pytorch"}
    assert asked == {"torch==2.1.0+cu118", "torchvision==0.16.0+cu118"}


def test_the_wheels_are_in_the_context_and_no_index_enters_the_build(lock: Lock, room: Room) -> None:
    context = room.folder / "context"
    room.good("render", "multimodal", "--cuda", "11.8", "-o", str(context))
    assert {path.name for path in (context / "wheels").rglob("*.whl")} == {
        "torch-2.1.0+cu118-py3-none-any.whl", "torchvision-0.16.0+cu118-py3-none-any.whl",
    }  # fmt: skip
    assert "torch==2.1.0+cu118 --hash=sha256:" in (context / "wheels/torch/requirements.txt").read_text()
    dockerfile = (context / "Dockerfile").read_text()
    assert "file:" not in dockerfile and "index-url" not in dockerfile


def test_a_build_that_the_index_lacks_is_refused_by_name(room: Room) -> None:
    done = room.run("lock", "multimodal", "--torch", "2.1.2", "--cuda", "11.8")
    assert done.returncode == 3
    assert "torch==2.1.2+cu118" in done.stderr
    assert not list(Path(room.folder).glob("locks/multimodal/2.1.2*"))
