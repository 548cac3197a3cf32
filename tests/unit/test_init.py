"""First files: what becomes of each kind of line of a requirements.txt, and a Dockerfile on top of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagekit import profile, requirements, starter
from imagekit.errors import UsageError

MANY = """\
# what we train with
--extra-index-url https://me:secret@download.pytorch.org/whl/cu121
torch==2.4.1+cu121
torchvision==0.19.1
torchaudio==2.4.0
Transformers[torch]>=4.44,<5  # a comment
numpy==1.26.4 \\
    --hash=sha256:abcd \\
    --hash=sha256:ef01
opencv-python==4.10.0.84
nvidia-cudnn-cu12==9.1.0.70
nvidia-dali-cuda120
triton==3.0.0
pywin32==306 ; sys_platform == "win32"
tomli>=2; python_version < "3.11"
idna; python_version >= "3.8"
-e .
-e git+https://example.org/x.git
git+https://example.org/x/y.git@main#egg=y
six @ https://example.org/six-1.whl
./local/thing.whl
-r more.txt
-c constraints.txt
-f https://example.org/wheels
--no-binary :all:
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> requirements.Read:
    Path("requirements.txt").write_text(text)
    return requirements.read(Path("requirements.txt"), "3.11")


def test_every_line_is_taken_or_left_out_with_a_reason() -> None:
    Path("more.txt").write_text("tqdm\nSix>=1.16\nsix<2\n-r requirements.txt\n")
    found = read(MANY)
    assert set(found.packages) == {
        "transformers",
        "numpy",
        "opencv-python",
        "nvidia-dali-cuda120",
        "idna",
        "tqdm",
        "six",
    }
    assert set(found.packages["six"].specifier) == set(requirements.Requirement("six>=1.16,<2").specifier)
    assert set(found.family) == {"torch", "torchvision", "torchaudio"} and found.cuda == "12.1"
    why = {left.where.removeprefix("requirements.txt:"): left.because for left in found.left}
    lines = ["2", "7", "11", "13", "14", "15", "17", "18", "19", "20", "21", "23", "24", "25"]
    assert list(why) == lines
    assert "the lock has hashes" in why["7"] and "follows torch" in why["11"] and "follows torch" in why["13"]
    assert "other platforms" in why["14"] and "Python 3.11" in why["15"] and "files:" in why["17"]
    assert "sources:" in why["19"] and "site file" in why["24"] and "the lock pins" in why["23"]
    assert [hint for hint in found.hints if "opencv-python-headless" in hint]
    assert "secret" not in str(found.left)


def test_what_is_no_requirement_is_refused_all_at_once() -> None:
    with pytest.raises(UsageError) as error:
        read("six\nfoo bar\nbaz==\n-r missing.txt\n")
    message = str(error.value)
    assert (
        "requirements.txt:2" in message and "requirements.txt:3" in message and "missing.txt cannot be read" in message
    )


@pytest.mark.parametrize(("text", "versions"), [
    ("torch==2.4.1", {"torch": "2.4.1"}),
    ("torch", {}),
    ("torch>=2.1", {"torch": "2.4.1"}),
    ("torch==2.9.1", {"torch": "2.9.1", "cuda": "12.8"}),
    ("torch==2.4.1+cu118", {"torch": "2.4.1", "cuda": "11.8"}),
    ("--index-url https://download.pytorch.org/whl/cu118\ntorch>=2.5", {"torch": "2.7.1", "cuda": "11.8"}),
    ("torchvision==0.18.1", {"torch": "2.3.1", "cuda": "12.1"}),
    ("torch==0.0.1", {}),
])  # fmt: skip
def test_torch_of_the_profile(text: str, versions: dict[str, str]) -> None:
    Path("requirements.txt").write_text(text + "\n")
    made = starter.from_requirements(Path("requirements.txt"), "base", "imagekit.yaml")
    Path("imagekit.yaml").write_text(made.text)
    found, parent = profile.load("."), profile.load("base")
    assert {key: getattr(found, key) for key in ("torch", "cuda")} == {
        "torch": parent.torch, "cuda": parent.cuda, **versions
    }  # fmt: skip
    assert found.python == parent.python


def test_pins_of_the_family_go_and_are_told() -> None:
    Path("requirements.txt").write_text("torch==2.4.1\ntorchvision==0.18.0\ntorchaudio\n")
    made = starter.from_requirements(Path("requirements.txt"), "base", "imagekit.yaml")
    assert any("torch 2.4.1 takes torchvision 0.19.1" in line for line in made.said)
    Path("imagekit.yaml").write_text(made.text)
    assert {"torchvision", "torchaudio"} <= set(profile.load(".").packages)


def test_the_profile_of_many_lines_loads() -> None:
    Path("more.txt").write_text("tqdm\n")
    Path("requirements.txt").write_text(MANY)
    made = starter.from_requirements(Path("requirements.txt"), "video-llm", "imagekit.yaml")
    starter.write(made.text, Path("imagekit.yaml"), False, check=starter.loads)
    found = profile.load(".")
    assert 'idna; python_version >= "3.8"' in found.packages and "numpy ==1.26.4" in found.packages
    assert "decord" in found.packages, "the parent's own"
    assert all(line.split()[0] in ("left", "note", "hint") for line in made.said)


def test_a_profile_from_nothing_loads(folder: Path) -> None:
    made = starter.from_nothing("base", "imagekit.yaml")
    starter.write(made.text, Path("imagekit.yaml"), False, check=starter.loads)
    assert profile.load(".").torch == profile.load("base").torch
    lines = [line.removeprefix("# ") for line in made.text.splitlines()]
    taken = [line for line in lines if line.split(":")[0] in ("torch", "cuda", "apt", "features", "files", "extends")]
    Path("imagekit.yaml").write_text("\n".join(taken) + "\n")
    assert profile.load(".").features, "and so does what it shows as an example"


def test_nothing_is_written_over(folder: Path) -> None:
    path = Path("imagekit.yaml")
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="is there already"):
        starter.write("theirs\n", path, False)
    assert path.read_text() == "mine\n"
    starter.write("theirs\n", path, True)
    assert path.read_text() == "theirs\n" and [entry.name for entry in folder.iterdir()] == ["imagekit.yaml"]


def test_a_profile_that_does_not_load_is_not_written(folder: Path) -> None:
    with pytest.raises(UsageError):
        starter.write("torch: 2.4\n", Path("x.yaml"), False, check=starter.loads)
    assert list(folder.iterdir()) == []
    with pytest.raises(UsageError, match="cannot be written"):
        starter.write("x", Path("no/such/folder/x.yaml"), False)


class Engine:
    def __init__(self, **image: Any) -> None:
        labels = {"io.imagekit.profile": "tiny", "io.imagekit.torch": "2.4.1", "io.imagekit.cuda": "12.1"}
        self.found = {"Id": "sha256:12", "Config": {"Labels": labels, "User": "1000:0"}, **image}

    def image(self, _: str) -> dict[str, Any]:
        return self.found


FIXED = "pytorch:2.4.1-cuda12.1-tiny-20261120-f56df5a"


@pytest.mark.parametrize(("image", "start"), [
    ({"RepoDigests": ["r.example/p@sha256:77"], "RepoTags": [FIXED]}, "r.example/p@sha256:77"),
    ({"RepoTags": ["pytorch:2.4.1-cuda12.1-tiny", FIXED]}, FIXED),
    ({"RepoTags": ["pytorch:2.4.1-cuda12.1-tiny"]}, "pytorch:2.4.1-cuda12.1-tiny"),
])  # fmt: skip
def test_from_names_what_moves_least(image: dict[str, Any], start: str) -> None:
    Path("requirements.txt").write_text("six\n")
    made = starter.on_top(Engine(**image), "x:y", Path("requirements.txt"), Path("Dockerfile"))
    lines = made.text.splitlines()
    plain = [line for line in lines if line and not line.startswith("#")]
    assert plain[0] == f"FROM {start}" and plain[1] == "USER root" and plain[-1] == "USER 1000:0"
    assert "source=requirements.txt," in made.text and "pip install --no-cache-dir -r " in made.text


def test_what_cannot_be_built_on() -> None:
    with pytest.raises(UsageError, match="has no tag"):
        starter.on_top(Engine(), "sha256:12", None, Path("Dockerfile"))
    with pytest.raises(UsageError, match="was not built by imagekit"):
        starter.on_top(Engine(Config={"Labels": None}), "debian:12", None, Path("Dockerfile"))
    with pytest.raises(UsageError, match="cannot be reached"):
        Path("docker").mkdir()
        Path("requirements.txt").write_text("six\n")
        starter.on_top(Engine(RepoTags=[FIXED]), "x:y", Path("requirements.txt"), Path("docker/Dockerfile"))
