"""deepspeed's ops in CUDA, compiled with the image: torch of CUDA 13, an nvcc out of wheels, GPUs of a fleet. Minutes, and
6 GB of disk. What runs on a GPU is not tried here; that the code for it is there, is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import docker

pytestmark = [pytest.mark.image, pytest.mark.acceptance]

SITE = '[fleet.new]\ngpu = "H100"\ndriver = "580.65.06"\n'
TAG = "pytorch:2.11.0-cuda13.0-base-deepspeed"
OP = "/opt/venv/lib/python/site-packages/deepspeed/ops/adam/fused_adam_op.*.so"


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(engine: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the build said."""
    folder = tmp_path_factory.mktemp("ops")
    (folder / "imagekit.toml").write_text(SITE)
    done = run("imagekit", "build", "base", "--torch", "2.11", "--feature", "deepspeed", folder=folder)
    try:
        assert done.returncode == 0, done.stderr
        yield done.stderr
    finally:
        names = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "pytorch").split()
        for name in (name for name in names if name.startswith(TAG)):
            run("docker", "rmi", "-f", name, folder=folder)
        if os.environ.get("IMAGEKIT_KEEP_CACHE_GB"):  # nothing after this test has a torch of CUDA 13
            docker("builder", "prune", "-af")


def ops(image: str, folder: Path) -> dict[str, object]:
    """The check's entry in the report."""
    done = run("imagekit", "test", image, "--check", "compiled-ops", "--json", folder=folder)
    (entry,) = json.loads(done.stdout)["checks"]
    return dict(entry)


def test_they_load_and_have_code_for_the_fleet(built: str, tmp_path: Path) -> None:
    assert "are compiled with the image for sm_90, the GPUs of the fleet" in built
    entry = ops(TAG, tmp_path)
    assert entry["status"] == "PASS" and entry["figures"]["fused_adam_op"] == ["sm_90"]  # type: ignore[index]
    assert len(entry["figures"]) == 8  # type: ignore[arg-type]
    label = docker("inspect", "-f", '{{index .Config.Labels "io.imagekit.deepspeed-ops"}}', TAG)
    assert label.strip() == "prebuilt sm_90"
    assert "ops       deepspeed prebuilt sm_90" in run("imagekit", "inspect", TAG, folder=tmp_path).stdout


def test_the_compiler_stays_behind(built: str) -> None:
    assert (
        docker("run", "--rm", "--user", "0", "--entrypoint", "find", TAG, "/", "-xdev", "-name", "nvcc").strip() == ""
    )


def test_deepspeed_takes_them(built: str) -> None:
    code = (
        "from deepspeed.git_version_info import installed_ops, torch_info, accelerator_name as name; "
        "print(name, torch_info['version'], torch_info['cuda_version'], installed_ops['fused_adam'])"
    )
    said = docker("run", "--rm", "--entrypoint", "python", TAG, "-c", code).splitlines()[-1]
    assert said == "cuda 2.11 13.0 1"


def test_without_an_engine_too(tmp_path: Path) -> None:
    """Compiled in a root of its own, against the torch of the image."""
    (tmp_path / "imagekit.toml").write_text(SITE)
    call = ("build", "base", "--torch", "2.11", "--feature", "deepspeed", "--engine", "compose", "--output", "oci:out")
    done = run("imagekit", *call, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    entry = ops("oci:out", tmp_path)
    assert entry["status"] == "PASS" and entry["figures"]["fused_adam_op"] == ["sm_90"]  # type: ignore[index]
    assert len(entry["figures"]) == 8  # type: ignore[arg-type]


@pytest.mark.parametrize(("damage", "found"), [
    (f"rm {OP}", "No module named 'deepspeed.ops.adam.fused_adam_op'"),
    # 44 bytes after the magic a container has the architecture of its first entry
    (f"""python3 -c "import glob; p, = glob.glob('{OP}'); b = open(p, 'rb').read(); i = b.index(bytes.fromhex('50ed55ba'));"""
     """ open(p, 'wb').write(b[:i+44] + bytes([80]) + b[i+45:])" """, "has code for sm_80"),
])  # fmt: skip
def test_a_damaged_op_is_found(damage: str, found: str, built: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {TAG}\nUSER 0\nRUN {damage}\nUSER 1000:0\n")
    name = f"{TAG}-damaged"
    docker("build", "-q", "-t", name, str(tmp_path))
    try:
        entry = ops(name, tmp_path)
        assert entry["status"] == "FAIL" and found in json.dumps(entry)
    finally:
        docker("rmi", "-f", name)
