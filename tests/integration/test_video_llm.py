"""One real image of 6.7 GB: built, proven, and built upon."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.engines.docker_api import Engine
from imagekit.scratch import cache

pytestmark = pytest.mark.image

IMAGE = "pytorch:2.4.1-cuda12.1-video-llm"
SABOTAGED = "pytorch:2.4.1-cuda12.1-video-llm-sabotaged"


def imagekit(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["imagekit", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def build(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return imagekit("build", "video-llm", folder=tmp_path_factory.mktemp("video"))


@pytest.fixture
def derive(build: object, tmp_path: Path) -> Iterator[object]:
    """Build an image FROM ours out of Dockerfile lines; its name."""

    def make(*lines: str) -> str:
        (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {IMAGE}", *lines]) + "\n")
        ca = os.environ.get("SSL_CERT_FILE", "")
        secret = [f"--secret=id=ca,src={ca}"] if ca else []
        call = ["docker", "buildx", "build", "-q", "--load", "-t", SABOTAGED, *secret, str(tmp_path)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return SABOTAGED

    yield make
    subprocess.run(["docker", "rmi", "-f", SABOTAGED], capture_output=True, check=False)


def pip(*arguments: str) -> str:
    mount = "--mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt"
    return f"RUN {mount} PIP_CERT=/etc/ssl/certs/ca-certificates.crt pip install --no-cache-dir {' '.join(arguments)}"


def statuses(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {check["check"]: check["status"] for check in json.loads(done.stdout)["checks"]}


def test_it_builds_and_is_proven(build: subprocess.CompletedProcess[str], engine: Engine) -> None:
    assert build.returncode == 0, build.stderr
    assert build.stdout.startswith("sha256:") and build.stdout.count("\n") == 1
    assert len(build.stderr.splitlines()) <= 25
    bare = engine.image("pytorch:2.4.1-cuda12.1")
    assert bare is not None and bare["Id"] == build.stdout.strip()
    assert bare["Config"]["User"] == "1000:0"
    assert not any(line.startswith("NVIDIA_VISIBLE_DEVICES") for line in bare["Config"]["Env"])


def test_its_libraries_say_on_which_gpus_it_runs(build: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    """Read out of libtorch_cuda.so and the others, not out of the facts, which say the same."""
    done = imagekit("compat", "check", IMAGE, "--gpu", "H100", "--gpu", "sm_120", "--json", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    found = [f for f in json.loads(done.stdout)["findings"] if f["rule"] == "gpu" and f["fact"] == "its libraries"]
    assert [f["verdict"] for f in found[:2]] == ["yes", "no"]
    assert "H100 (sm_90) runs the code for sm_90 in torch 2.4.1+cu121 of this image" in found[0]["text"]
    assert "sm_120 has no code" in found[1]["text"] and "sm_50 .. sm_90" in found[1]["text"]
    assert any("torch/lib/libtorch_cuda_linalg.so has code for" in f["text"] for f in found[2:])
    assert imagekit("compat", "check", IMAGE, "--gpu", "L4", folder=tmp_path).returncode == 0


def test_every_promise_was_checked(build: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    done = imagekit("test", IMAGE, "--json", "--junit", "report.xml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = statuses(done)
    for name in ("versions", "cuda-tag", "cuda-libraries", "imports", "pip-check", "ffmpeg", "training", "compile-cpu",
                 "compile-triton-stub", "video-llm", "pillow-simd", "caches-writable", "read-h264-by-av",
                 "read-h264-by-opencv", "read-h264-by-decord", "read-hevc-by-av", "read-vp9-by-av", "user-id",
                 "checkpoint", "loader", "operators", "pillow-simd-resize"):  # fmt: skip
        assert seen.get(name) == "PASS", (name, seen)
    assert (tmp_path / "report.xml").read_text().startswith("<testsuite")


def test_a_gpu_that_is_required_and_not_there_is_a_failure(
    build: subprocess.CompletedProcess[str], engine: Engine, tmp_path: Path
) -> None:
    if engine.has_gpu():
        pytest.skip("this machine has a GPU")
    done = imagekit("test", IMAGE, "--require-gpu", "--check", "gpu-available", folder=tmp_path)
    assert done.returncode == 5
    assert "gpu-available" in done.stderr


def test_a_source_build_happens_once(build: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    """With every cached layer of the packages forgotten, pillow-simd is taken from where the first build kept it."""
    context = tmp_path / "context"
    assert imagekit("render", "video-llm", "-o", str(context), folder=tmp_path).returncode == 0
    assert "FROM system AS source-pillow-simd" in (context / "Dockerfile").read_text()
    done = imagekit("build", "video-llm", "--no-test", "--with", "toolz", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    log = (cache() / "logs" / re.search(r"log (\S+)", done.stderr)[1]).read_text()  # type: ignore[index]
    assert "[context built-pillow-simd]" in log
    assert "source-pillow-simd" not in log


def test_an_image_built_on_ours_keeps_pillow_simd_and_passes(derive: object, tmp_path: Path) -> None:
    image = derive("USER root", pip("peft", "matplotlib"), "USER 1000:0")  # type: ignore[operator]
    done = imagekit("test", image, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = statuses(done)
    assert seen["pillow-simd"] == seen["versions"] == seen["replaced"] == "PASS"


WRITE_MODEL = """
import sys; sys.path.insert(0, "/opt/imagekit")
from smoke import families
_, model, processor = families.build("llava-next-video")
model.save_pretrained("/out"); processor.save_pretrained("/out")
"""


@pytest.fixture(scope="module")
def weights(build: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a user has it: a folder that transformers wrote."""
    folder = tmp_path_factory.mktemp("weights")
    call = ["docker", "run", "--rm", "--user=0:0", "--network=none", f"--volume={folder}:/out", "--entrypoint="]
    subprocess.run([*call, IMAGE, "/opt/venv/bin/python", "-c", WRITE_MODEL], check=True, capture_output=True)
    folder.chmod(0o755)  # pytest's folders are closed to everybody else
    return folder


def test_weights_of_your_own_answer_about_a_clip(weights: Path, tmp_path: Path) -> None:
    done = imagekit("test", IMAGE, "--model", str(weights), "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["checks"]
    assert (row["check"], row["status"]) == ("own-model", "PASS")
    assert row["figures"]["frames"] == 8 and row["figures"]["tokens"] >= 1


@pytest.mark.parametrize(("model", "clip", "said"), [
    ("nowhere", "", "there is no nowhere"), ("", "nothing.mp4", "there is no nothing.mp4"),
])  # fmt: skip
def test_weights_and_clips_that_are_not_there(weights: Path, tmp_path: Path, model: str, clip: str, said: str) -> None:
    done = imagekit("test", IMAGE, "--model", model or str(weights), "--clip", clip, folder=tmp_path)
    assert done.returncode == 2 and said in done.stderr


def test_a_folder_that_is_no_model(build: object, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = imagekit("test", IMAGE, "--model", "empty", folder=tmp_path)
    assert done.returncode == 5 and "config.json" in done.stderr
