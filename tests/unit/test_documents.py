"""`compat check` of files that imagekit did not make: requirements.txt, Dockerfiles, `pip freeze`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from imagekit.cli.compat import command
from imagekit.compat import asking, documents, facts
from imagekit.compat import dockerfile as dockerfiles
from imagekit.compat.documents import Document
from imagekit.compat.question import answer
from imagekit.errors import UsageError

ARTICLE = """\
# syntax=docker/dockerfile:1
ARG TORCH=2.1.0
FROM pytorch/pytorch:2.9-cuda11.7-cudnn8-runtime AS base
FROM base
ENV PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install -y ffmpeg \\
    # a comment in between
    && pip install --no-cache-dir torch==${TORCH}+cu118 torchvision==0.16.0 \\
       --extra-index-url https://example.org/whl/cu118 \\
    && pip3 install "transformers==4.30.0" deepspeed==0.9.5 numpy==2.0.0 ftfy regex ./local -r requirements.txt
CMD ["python"]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def dockerfile(text: str) -> Document:
    Path("Dockerfile").write_text(text)
    return dockerfiles.read(Path("Dockerfile"))


def check(*arguments: str, stdin: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(command, ["check", *arguments], input=stdin)
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.exit_code, done.output


def test_a_dockerfile_as_articles_have_it() -> None:
    found = dockerfile(ARTICLE)
    assert (found.torch, found.cuda, found.base) == (
        "2.1.0+cu118",
        "11.8",
        "pytorch/pytorch:2.9-cuda11.7-cudnn8-runtime",
    )
    assert found.pins == {"torchvision": "0.16.0", "transformers": "4.30.0", "deepspeed": "0.9.5", "numpy": "2.0.0"}
    assert found.free == 2
    code, text = check("--dockerfile", "Dockerfile")
    assert code == 3
    for words in ("a tag has all three numbers of torch", "fails with NumPy 2", "Dockerfile:6: --extra-index-url",
                  "LoRA itself is in the package peft", "2 requirements have no exact version"):  # fmt: skip
        assert words in text, words
    assert "--base pytorch/pytorch:2.9.1-cuda12.6-cudnn9-runtime; numpy<2; one index" in text


@pytest.mark.parametrize(("text", "base", "python", "pins"), [
    ("FROM python:3.10-slim\nRUN pip install numpy==1.26.4", "", "3.10", {"numpy": "1.26.4"}),
    ("FROM ubuntu:22.04\nRUN python3 -m pip install -U numpy==1.26.4 && echo done", "ubuntu:22.04", "", {"numpy": "1.26.4"}),
    ("FROM --platform=linux/amd64 debian:12\nRUN uv pip install --system 'numpy==1.26.4'", "debian:12", "", {"numpy": "1.26.4"}),
    ("FROM ubuntu:22.04\nENV V 1.26.4\nRUN pip install numpy==$V", "ubuntu:22.04", "", {"numpy": "1.26.4"}),
    ("FROM ubuntu:22.04\nRUN pip install numpy==${V:-1.26.4}", "ubuntu:22.04", "", {"numpy": "1.26.4"}),
    ("FROM ubuntu:22.04\nRUN pip install numpy==$UNSET 'broken", "ubuntu:22.04", "", {}),
    ("FROM ubuntu:22.04 AS One\nRUN pip install six==1.17.0\nFROM debian:12 AS two\nRUN pip install numpy==2.0.0\nFROM one\n", "ubuntu:22.04", "", {"six": "1.17.0"}),
    ("FROM debian:12 AS b\nRUN pip install numpy==2.0.0\nFROM ubuntu:22.04\nRUN pip --no-cache-dir install six==1.17.0", "ubuntu:22.04", "", {"six": "1.17.0"}),
    ('FROM ubuntu:22.04\nRUN ["pip", "install", "six==1.17.0"]', "ubuntu:22.04", "", {"six": "1.17.0"}),
    ("FROM ubuntu:22.04\nRUN <<EOF\npip install six==1.17.0\nEOF\nRUN pip install numpy==1.26.4", "ubuntu:22.04", "", {"six": "1.17.0", "numpy": "1.26.4"}),
    ('FROM ubuntu:22.04\nRUN pip install "six==1.17.0; python_version>\'3\'" numpy==1.26.4', "ubuntu:22.04", "", {"six": "1.17.0", "numpy": "1.26.4"}),
    ("FROM ubuntu:22.04\nRUN --mount=type=cache,target=/root/.cache pip install six==1.17.0", "ubuntu:22.04", "", {"six": "1.17.0"}),
    ("FROM ubuntu:22.04\nRUN echo not pip install; ls\n", "ubuntu:22.04", "", {}),
])  # fmt: skip
def test_what_a_dockerfile_says(text: str, base: str, python: str, pins: dict[str, str]) -> None:
    found = dockerfile(text)
    assert (found.base, found.python, found.pins) == (base, python, pins)


def test_an_index_for_one_cuda_is_that_cuda() -> None:
    found = dockerfile("FROM ubuntu:22.04\nRUN pip install torch --index-url https://example.org/whl/cu121\n")
    assert found.cuda == "12.1" and not [f for f in found.findings if f.verdict == "no"]


@pytest.mark.parametrize("content", [b"just text\n", b"\xff\xfe\x00", b""])
def test_what_is_no_dockerfile(content: bytes) -> None:
    Path("Dockerfile").write_bytes(content)
    with pytest.raises(UsageError):
        dockerfiles.read(Path("Dockerfile"))
    with pytest.raises(UsageError):
        dockerfiles.read(Path("nowhere"))


def test_a_freeze() -> None:
    text = "torch==2.2.0+cu121\nnumpy==2.1.0\nopencv-python==4.9.0.80\nopencv-python-headless==4.9.0.80\n-e git+x\nfoo @ file:///x\n"
    code, said = check("--freeze", "--gpu", "H100", stdin=text)
    assert code == 3 and "torch 2.2.0 + CUDA 12.1 (cu121)" in said
    assert "both own the module cv2" in said and "fails with NumPy 2" in said and "H100 (sm_90) runs" in said
    code, said = check("--freeze", stdin="torch==2.4.1\nnumpy==1.26.4\n")
    assert code == 0 and said.startswith("yes")


def test_an_empty_freeze_is_said() -> None:
    with pytest.raises(UsageError, match="nothing on stdin is a pin"):
        check("--freeze", stdin="# nothing\n\n???\n")


def test_a_requirements_file() -> None:
    Path("r.txt").write_text(
        "torch==2.4.1\ntorchvision==0.18.0\nnumpy\n--extra-index-url https://user:secret@pip.example/simple\n"
    )
    code, said = check("-r", "r.txt")
    assert code == 3 and "torch 2.4.1 goes with torchvision 0.19.1" in said
    assert "r.txt:4: --extra-index-url merges two indexes" in said and "secret" not in said
    with pytest.raises(UsageError, match="cannot be read as requirements") as error:
        check("-r", "nope.txt")
    assert "nothing was written" not in str(error.value)


def test_an_option_is_stronger_than_a_file() -> None:
    Path("r.txt").write_text("torch==2.4.1\nnumpy==2.0.0\n")
    code, said = check("-r", "r.txt", "--torch", "2.2", "--package", "numpy==1.26.4")
    assert code == 0 and said.startswith("yes  torch 2.2.2")


LABELS = {
    "torch": "2.4.1",
    "variant": "cu121",
    "cuda": "12.1",
    "python": "3.11",
    "os": "Debian 12",
    "profile": "video-llm",
}


def test_an_image_stands_for_all_it_holds() -> None:
    packages = [
        {"name": "torch", "version": "2.4.1"}, {"name": "pillow-simd", "version": "12.1.1.post0"},
        {"name": "pillow", "version": "12.1.1", "standin": True}, {"name": "numpy", "version": "2.1.0"},
    ]  # fmt: skip
    found = documents.of_image("pytorch:x", LABELS, packages, None)
    question = asking.question(facts.load(), documents=[found], gpus=["V100"], drivers=["470.57.02"])
    assert (question.asked.torch, question.asked.cuda, question.asked.python) == ("2.4.1", "12.1", "3.11")
    assert question.asked.suite == "bookworm" and question.versions == {"pillow-simd": "12.1.1.post0", "numpy": "2.1.0"}
    answered = answer(question, facts.load())
    assert [f.rule for f in answered.findings if f.verdict == "no"] == ["driver"]
    assert answer(asking.question(facts.load(), documents=[found], gpus=["H100"]), facts.load()).possible


def test_an_image_of_others_is_refused_with_the_way_to_ask() -> None:
    with pytest.raises(UsageError) as error:
        documents.of_image("acme/x:1", {}, [], None)
    assert "pip freeze | imagekit compat check --freeze" in str(error.value)


@pytest.mark.parametrize("line", [
    "pip install -r requirements.txt", "pip install torch==${TORCH}", "conda install pytorch==2.1.0", "uv add torch",
    "pip install 'torch==2.1.0",
])  # fmt: skip
def test_what_cannot_be_judged_is_said(line: str) -> None:
    found = dockerfile(f"FROM ubuntu:22.04\nARG TORCH\nRUN {line}\n")
    assert [(f.verdict, f.text.split(": ")[0]) for f in found.findings] == [("unknown", "Dockerfile:3")]


@pytest.mark.parametrize("pin", ["2.9.0.dev20250801+cu128", "2.4.1+cpu", "2.4.1.post1"])
def test_a_torch_that_is_no_release_for_cuda(pin: str) -> None:
    found = documents.of_freeze([f"torch=={pin}", "numpy==1.26.4"])
    assert found.torch == "" and "is none that the facts can judge" in found.findings[0].text


def test_variables_that_multiply_end() -> None:
    lines = ["ENV A0=" + "a" * 20, *(f"ENV A{n + 1}=" + f"$A{n}" * 10 for n in range(12)), "RUN pip install six==$A12"]
    assert dockerfile("FROM ubuntu:22.04\n" + "\n".join(lines)).pins == {}


def test_what_is_no_file_or_too_much() -> None:
    for path in ("/dev/zero", "."):
        with pytest.raises(UsageError, match="is no file"):
            dockerfiles.read(Path(path))
    Path("big").write_text("FROM debian:12\n" + "# pad\n" * 700_000)
    with pytest.raises(UsageError, match="more than 4 MB"):
        dockerfiles.read(Path("big"))
    with pytest.raises(UsageError, match="more than 5000 lines"):
        documents.of_freeze(f"a{n}==1" for n in range(10_000))


def test_files_that_include_each_other_without_end() -> None:
    for n in range(1500):
        Path(f"r{n}.txt").write_text(f"-r r{n + 1}.txt\n")
    with pytest.raises(UsageError) as error:
        documents.of_requirements(Path("r0.txt"), "3.11")
    assert "more than 100 files" in str(error.value)


def test_the_options_of_the_table_are_not_those_of_check() -> None:
    done = CliRunner().invoke(command, ["--gpu", "V100", "check", "--torch", "2.15"])
    assert isinstance(done.exception, UsageError) and "after check" in str(done.exception)
    with pytest.raises(UsageError, match="is empty"):
        check("--gpu", "")
    with pytest.raises(UsageError, match="names no fleet"):
        check("--fleet")


def test_markers_are_those_of_the_python_that_is_asked() -> None:
    Path("r.txt").write_text(
        "torch==2.1.0\nnumpy==2.0.0; python_version<'3.11'\nnumpy==1.26.4; python_version>='3.11'\n"
    )
    for python in (["--python", "3.10"], ["--python", "py310"], ["--os", "jammy"]):
        assert check("-r", "r.txt", *python)[0] == 3, python
    assert check("-r", "r.txt", "--python", "3.11")[0] == 0


def test_one_package_in_two_versions() -> None:
    """In one file, in two files, and in two steps of a Dockerfile, of which the later one overwrites the earlier."""
    Path("a.txt").write_text("numpy==1.26.0\nsix==1.16\n")
    Path("b.txt").write_text("numpy==2.0.0\nsix==1.16\n")
    Path("c.txt").write_text("torch==2.4.1\ntorch==2.5.0\nnumpy==1.26.0\nnumpy==2.0.0\n")
    Path("Dockerfile").write_text("FROM debian:12\nRUN pip install numpy==1.26.0\nRUN pip install numpy==2.0.0\n")

    def pins(*read: documents.Document) -> list[tuple[str, str]]:
        said = asking.question(facts.load(), torch="2.4.1", documents=read).said
        return [(f.verdict, f.text) for f in said if f.rule == "pins"]

    first, second, both = (documents.of_requirements(Path(name), "3.11") for name in ("a.txt", "b.txt", "c.txt"))
    assert pins(first, second) == [("no", "two files pin numpy, to 1.26.0 and to 2.0.0: pip refuses them together")]
    assert pins(both) == [
        ("no", "numpy is pinned to 1.26.0 and to 2.0.0: pip refuses them together"),
        ("no", "torch is pinned to 2.4.1 and to 2.5.0: pip refuses them together"),
    ]
    Path("d.txt").write_text("numpy==1.26\ntorch==2.1.0\n")
    Path("e.txt").write_text("torch==2.4.0\n")
    third, fourth = (documents.of_requirements(Path(name), "3.11") for name in ("d.txt", "e.txt"))
    assert pins(first, third) == [], "1.26 is 1.26.0"
    assert pins(third, fourth) == [], "--torch is stronger than both"
    found = asking.question(facts.load(), documents=[third, fourth]).said
    assert [f.text for f in found] == ["two files ask for torch 2.1.0 and 2.4.0: the first one was judged"]
    (line,) = documents.of_freeze(["torch==2.4.0", "torch==2.5.0"]).findings
    assert line.text == "torch is pinned twice, 2.4.0 and 2.5.0: the later one was judged"
    text = "numpy is pinned twice, 1.26.0 and 2.0.0: the later one was judged"
    assert pins(dockerfiles.read(Path("Dockerfile"))) == [("note", text)]
    with pytest.raises(UsageError) as error:
        asking.question(facts.load(), packages=["numpy==1.26.0", "numpy==2.0.0", "numpy==1.26"])
    assert list(error.value.details) == ["numpy is asked to be 1.26.0 and 2.0.0"], "1.26 is 1.26.0"


@pytest.mark.parametrize(("line", "base"), [
    ("me:secret@registry.example/torch:2.4", "***@registry.example/torch:2.4"),
    ("ubuntu:22.04@sha256:" + "a" * 64, "ubuntu:22.04@sha256:" + "a" * 64), ("nvidia/cuda:12.1.1-base-ubuntu22.04",) * 2,
])  # fmt: skip
def test_a_login_in_a_from_is_not_shown(line: str, base: str) -> None:
    Path("Dockerfile").write_text(f"FROM {line}\n")
    assert dockerfiles.read(Path("Dockerfile")).base == base
