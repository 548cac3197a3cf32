"""pipeline.yaml: which images it means, and what is said of those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.cells import document, expand, formats
from imagekit.errors import UsageError

Run = Callable[..., tuple[int, str, str]]


def written(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


def cells(folder: Path, text: str) -> list[str]:
    return [" ".join(expand.arguments(cell)) for cell in expand.cells(document.read(written(folder, text)))]


def test_every_profile_with_every_value_of_each_axis(tmp_path: Path) -> None:
    assert cells(tmp_path, 'matrix: {profile: [a, b], torch: ["2.4.1", "2.9.1"], base: ["distro:bookworm"]}\n') == [
        "a --torch 2.4.1 --base distro:bookworm", "a --torch 2.9.1 --base distro:bookworm",
        "b --torch 2.4.1 --base distro:bookworm", "b --torch 2.9.1 --base distro:bookworm",
    ]  # fmt: skip


def test_what_is_taken_out_and_what_is_put_in(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        """
matrix:
  profile: [a, b]
  torch: ["2.4.1", "2.9.1"]
  overlay: [acme.yaml]
  exclude:
    - {profile: b, torch: "2.4.1"}
  include:
    - {profile: c, python: "3.13", feature: [dev], packages: [toolz], overlay: [x.yaml]}
    - {profile: c, python: "3.13", feature: [dev], packages: [toolz], overlay: [x.yaml]}
""",
    )
    acme = f"--overlay {tmp_path / 'acme.yaml'}"
    assert found == [
        f"a --torch 2.4.1 {acme}", f"a --torch 2.9.1 {acme}", f"b --torch 2.9.1 {acme}",
        f"c --python 3.13 --overlay {tmp_path / 'x.yaml'} --feature dev --with toolz",
    ]  # fmt: skip


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    text = "matrix: {profile: [tiny, ./mine.yaml, mine], overlay: [acme.yaml]}\n"
    found = cells(tmp_path / "ci", text)
    here = tmp_path / "ci"
    assert found == [f"{name} --overlay {here / 'acme.yaml'}" for name in ("tiny", str(here / "mine.yaml"), "mine")]


@pytest.mark.parametrize(("text", "said"), [
    ("matrix: {profile: [a], torhc: ['2.4']}", "pipeline.yaml:1: matrix.torhc: unknown key; did you mean torch?"),
    ("matrix: {profile: [a], torch: [2.10]}", "pipeline.yaml:1: matrix.torch.0: YAML reads 2.1 as a number"),
    ("matrix: {profile: [a], torch: ['2.4', '2.4']}", "matrix.torch: 2.4 is there twice"),
    ("matrix: {torch: ['2.4']}", "matrix: names no profile"),
    ("matrix:\n  profile: [a]\n  include:\n    - {torch: '2.4'}", "pipeline.yaml:4: matrix.include.0.profile: Field required"),
    ("matrix:\n  profile: [a]\n  base: ['ubuntu']", "pipeline.yaml:3: matrix.base.0: 'ubuntu' is not a base"),
    ("matrix: {profile: a}", "matrix.profile: Input should be a valid tuple"),
    ("folder: /etc\nmatrix: {profile: [a]}", "pipeline.yaml:1: folder: unknown key"),
    ("- a", "a pipeline is a mapping"), ("", "pipeline.yaml is empty"),
])  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        document.read(written(tmp_path, text))
    assert said in str(caught.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        document.read(written(tmp_path, "matrix: {profile: [a], torch: [2.4], tocrh: []}\nnightly: 1\n"))
    assert len(caught.value.details) == 3


def test_an_exclude_that_takes_out_nothing_is_a_slip(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        cells(tmp_path, "matrix:\n  profile: [a]\n  exclude: [{profile: b}, {}]\n")
    assert "profile: b" in str(caught.value) and "an empty row" in str(caught.value)


def test_one_that_cannot_be_is_told_and_the_others_stay(run: Run, tmp_path: Path) -> None:
    written(tmp_path, "matrix: {profile: [video-llm, vision], torch: ['2.9.1'], cuda: ['11.8', '12.8']}\n")
    code, out, _ = run("matrix")
    assert code == 0 and "pytorch:2.9.1-cuda12.8-video-llm" in out and "pytorch:2.9.1-cuda12.8-vision" in out
    assert "not video-llm --torch 2.9.1 --cuda 11.8" in out and "[torch/2.7.1]" in out
    code, out, _ = run("matrix", "--format", "json")
    assert [bool(row["tag"]) for row in json.loads(out)] == [False, True, False, True]
    code, out, _ = run("matrix", "--format", "github")
    assert out.count("\n") == 1
    assert json.loads(out)["include"][0] == {
        "name": "2.9.1-cuda12.8-video-llm", "tag": "pytorch:2.9.1-cuda12.8-video-llm",
        "arguments": "video-llm --torch 2.9.1 --cuda 12.8",
    }  # fmt: skip


def test_none_that_can_be_is_an_error(run: Run, tmp_path: Path) -> None:
    written(tmp_path, "matrix: {profile: [video-llm], torch: ['2.9.1'], cuda: ['11.8']}\n")
    code, out, err = run("matrix")
    assert code == 3 and "not video-llm" in out and "no cell of the matrix can be had" in err


def test_two_cells_with_one_tag_are_refused(run: Run, tmp_path: Path) -> None:
    written(
        tmp_path,
        """
matrix:
  profile: [tiny]
  include: [{profile: tiny, torch: "2.4.1"}]
""",
    )
    code, out, err = run("matrix")
    assert code == 2 and not out
    assert "pytorch:2.4.1-cuda12.1-tiny: tiny; tiny --torch 2.4.1" in err


def test_bake_needs_a_place(run: Run, tmp_path: Path) -> None:
    written(tmp_path, "matrix: {profile: [tiny]}\n")
    for arguments in (("--format", "bake"), ("-o", "out")):
        code, _, err = run("matrix", *arguments)
        assert code == 2 and "go together" in err


def test_a_name_that_bake_takes() -> None:
    from imagekit.cells.document import Cell
    from imagekit.cells.judged import Judged

    assert formats.target(Judged(Cell(profile="a"), tag="pytorch:2.4.1-cuda12.1-a")) == "2-4-1-cuda12-1-a"
