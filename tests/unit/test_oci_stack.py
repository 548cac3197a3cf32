"""Who shares a layer with whom, and files that several wheels bring."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheels_made import wheel

from imagekit import compose
from imagekit.compose import Wheel
from imagekit.errors import BuildFailed, ImpossibleWish
from imagekit.oci import installed, overlaps, stack
from imagekit.oci.installed import File
from imagekit.oci.stack import Sized
from imagekit.plan import GROUPS

SITE = "opt/venv/lib/python/site-packages"
WHEELS = st.lists(
    st.builds(Sized, st.text("abcdef", min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 10**9)),
    max_size=150, unique_by=lambda wheel: wheel.name,
)  # fmt: skip


@given(WHEELS, st.integers(1, 100))
def test_every_wheel_is_in_one_layer_and_there_are_not_too_many(wheels: list[Sized], room: int) -> None:
    layers = stack.stacked(wheels, room)
    assert sorted(name for names in layers for name in names) == sorted(wheel.name for wheel in wheels)
    assert len(layers) <= room
    assert stack.stacked(list(reversed(wheels)), room) == layers


def test_one_package_more_moves_nothing_that_shares() -> None:
    many = [Sized(f"package-{number}", 3, 1000 + number) for number in range(140)]
    before = {frozenset(names) for names in stack.stacked(many, 90)}
    after = {frozenset(names) - {"another"} for names in stack.stacked([*many, Sized("another", 3, 1500)], 90)}
    assert before == after - {frozenset()}


def test_what_changes_often_is_above() -> None:
    rows = [Sized("zlib-state", 3, 5), Sized("torch", 1, 800), Sized("nvidia-nccl-cu12", 0, 90), Sized("av", 2, 30)]
    assert stack.stacked(rows, 90) == [("nvidia-nccl-cu12",), ("torch",), ("av",), ("zlib-state",)]


def test_too_few_layers() -> None:
    with pytest.raises(ValueError, match="too few"):
        stack.stacked([Sized(str(number), 0, 1) for number in range(30)], 0)


@pytest.mark.parametrize(("many", "most", "found"), [(16, 90, 16), (16, 16, 16), (16, 15, 8), (8, 3, 2), (8, 0, 1)])
def test_who_shared_a_layer_still_does_where_there_are_fewer(many: int, most: int, found: int) -> None:
    assert stack.halved(many, most) == found
    assert all(stack.share(name, many) % found == stack.share(name, found) for name in "abcdefgh")


def test_a_base_of_many_layers(tmp_path: Path) -> None:
    """No image has more layers than there may be, and every wheel is in one of them."""
    wheels = []
    for number in range(130):
        path = tmp_path / f"package-{number}"
        with path.open("wb") as out:
            out.truncate(int(10 ** (3 + number / 20)))
        wheels.append(Wheel(path.name, "1", GROUPS[number % len(GROUPS)], str(number), path))
    for base in range(stack.MOST - stack.OWN - stack.LEAST + 1):
        for pyc in (True, False):
            found = compose.slots(wheels, stack.above(base), pyc)
            assert base + len(found) + stack.OWN <= stack.MOST
            names = [wheel.name for slot in found if not slot.bytecode for wheel in slot.wheels]
            assert sorted(names) == sorted(wheel.name for wheel in wheels)


@pytest.mark.parametrize("layers", [97, 100, 125])
def test_a_base_of_too_many_layers(layers: int) -> None:
    with pytest.raises(ImpossibleWish, match=f"the base has {layers} layers") as error:
        stack.above(layers)
    assert "squash the base" in error.value.hint


def files(folder: Path, name: str, **contents: str) -> tuple[File, ...]:
    place = folder / name
    place.mkdir()
    texts = {path.replace("__", "/", 1) + ".py": text.encode() for path, text in contents.items()}
    return tuple(file for file in installed.files(wheel(place, texts), "3.11") if ".dist-info/" not in file.path)


def test_the_same_bytes_from_two_are_fine(tmp_path: Path) -> None:
    wheels = {"a": files(tmp_path, "a", share__x="1\n"), "b": files(tmp_path, "b", share__x="1\n", b__y="2\n")}
    assert overlaps.decided(wheels) == wheels


@pytest.mark.parametrize(("one", "two", "fine"), [
    ("", "# a comment\n", True), ("'''text'''\n", "", True), ("import os\n", "import os  # for paths\n", True),
    ("import os\n", "", False), ("x = (\n", "", False), ("x = (\n", "x = (\n", True),
])  # fmt: skip
def test_namespaces(tmp_path: Path, one: str, two: str, fine: bool) -> None:
    wheels = {
        "a": files(tmp_path, "a", **{"share____init__": one}),
        "b": files(tmp_path, "b", **{"share____init__": two}),
    }
    if fine:
        assert overlaps.decided(wheels) == wheels
    else:
        with pytest.raises(BuildFailed, match="share/__init__.py: a and b"):
            overlaps.decided(wheels)


def test_different_files_name_both_owners_or_the_winner_has_it(tmp_path: Path) -> None:
    wheels = {"a": files(tmp_path, "a", cv2__core="1\n", a__x=""), "b": files(tmp_path, "b", cv2__core="2\n")}
    with pytest.raises(BuildFailed, match=f"/{SITE}/cv2/core.py: a and b"):
        overlaps.decided(wheels)
    with pytest.raises(BuildFailed, match=f"/{SITE}/cv2/core.py: a and b"):
        overlaps.decided(wheels, ["a", "b"])
    decided = overlaps.decided(wheels, ["b", "c"])
    assert [file.path for file in decided["a"]] == [f"{SITE}/a/x.py"]
    assert decided["b"] == wheels["b"]


PATHS = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.text("xy/", min_size=1, max_size=5).map(lambda t: t.strip("/") or "x"), max_size=6),
)


@given(PATHS)
def test_who_touches_nobody_needs_no_decision(paths: dict[str, list[str]]) -> None:
    """What is left out is what would have been decided to stay as it is."""
    near = overlaps.touching(paths)
    for name, mine in paths.items():
        others = [path for other, rows in paths.items() if other != name for path in rows]
        meets = any(a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/") for a in mine for b in others)
        assert meets <= (name in near)


def test_a_hash_that_is_only_claimed(tmp_path: Path) -> None:
    one = files(tmp_path, "a", share__x="1\n")
    two = tuple(dataclasses.replace(file, sha256=one[0].sha256) for file in files(tmp_path, "b", share__x="2\n"))
    with pytest.raises(BuildFailed, match="share/x.py: a and b"):
        overlaps.decided({"a": one, "b": two})


def test_a_file_where_another_has_a_folder(tmp_path: Path) -> None:
    file = File(f"{SITE}/share", b"x", sha256="1")
    with pytest.raises(BuildFailed, match="is a file, and the folder of .*: a and b"):
        overlaps.decided({"a": (file,), "b": files(tmp_path, "b", share__x="1\n")})
