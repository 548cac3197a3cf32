"""What the GPU checks decide without a GPU: drivers, architectures, adapters, what NCCL says, frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagekit.smoke import clips, ranks
from imagekit.smoke.check import Failure, Image
from imagekit.smoke.checks import cuda_libraries, distributed, gpu_attention, gpu_driver, multi_gpu, nvdec


@pytest.mark.parametrize(
    ("speaks", "cuda", "release", "compatible"),
    [
        (12020, "12.1", "535.104.05", False),
        (12000, "12.4", "525.60.13", True),
        (13000, "12.1", "580.65.06", False),
        (12020, "12.1", "", False),
        # cuda-compat: a newer libcuda on an old kernel driver
        (12040, "12.1", "470.82.01", False),
    ],
)
def test_a_driver_that_is_new_enough(speaks: int, cuda: str, release: str, compatible: bool) -> None:
    assert gpu_driver.compare(speaks, cuda, release, "525.60.13")["by_minor_version_compatibility"] is compatible


def test_a_driver_of_an_older_major_version() -> None:
    with pytest.raises(Failure) as no:
        gpu_driver.compare(11040, "12.1", "470.82.01", "525.60.13")
    assert no.value.found == "driver 470.82.01, which speaks CUDA 11.4"
    assert no.value.expected == "CUDA 12.x or later, for a torch built with CUDA 12.1"
    assert no.value.fix == "driver 525.60.13 or newer on this node, or an image for CUDA 11"


def test_a_driver_below_the_minimum_of_its_major_version() -> None:
    with pytest.raises(Failure) as no:
        gpu_driver.compare(11000, "11.8", "450.36.06", "450.80.02")
    assert no.value.expected == "driver 450.80.02 or newer"


def test_the_newest_compiled_architecture() -> None:
    assert gpu_attention.highest(["sm_50", "sm_80", "sm_90a"]) == (9, 0)
    assert gpu_attention.highest(["sm_90", "compute_120"]) == (12, 0)
    assert gpu_attention.highest([]) == (0, 0)


def adapter(root: Path, name: str, state: str, layer: str) -> None:
    port = root / "sys/class/infiniband" / name / "ports" / "1"
    port.mkdir(parents=True)
    (port / "state").write_text(f"{state}\n")
    (port / "link_layer").write_text(f"{layer}\n")


def test_adapters_that_nccl_could_take(tmp_path: Path) -> None:
    adapter(tmp_path, "mlx5_0", "4: ACTIVE", "InfiniBand")
    adapter(tmp_path, "mlx5_1", "1: DOWN", "InfiniBand")
    adapter(tmp_path, "mlx5_2", "4: ACTIVE", "Ethernet")
    adapter(tmp_path, "rdmap0s6", "4: ACTIVE", "Unspecified")
    assert multi_gpu.active(tmp_path) == []  # their device files are not in this container
    (tmp_path / "dev/infiniband").mkdir(parents=True)
    (tmp_path / "dev/infiniband/uverbs0").touch()
    assert multi_gpu.active(tmp_path) == ["mlx5_0:1", "mlx5_2:1"]


SOCKET = "node:7:12 [0] NCCL INFO NET/IB : No device found.\nnode:7:12 [0] NCCL INFO Using network Socket\n"
RDMA = "node:7:12 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [RO]\nnode:7:12 [0] NCCL INFO Using network IB\n"


def test_nccl_on_tcp_beside_adapters_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCCL_IB_DISABLE", raising=False)
    monkeypatch.setattr(multi_gpu, "active", lambda: ["mlx5_0:1"])
    image = Image({}, {"features": ["rdma"]})
    assert multi_gpu.network(image, [RDMA]) == {"network": ["IB"], "active_adapters": ["mlx5_0:1"]}
    with pytest.raises(Failure, match="NCCL takes TCP"):
        multi_gpu.network(image, [SOCKET])
    assert multi_gpu.network(Image({}, {}), [SOCKET])["network"] == ["Socket"]
    assert multi_gpu.network(image, [""])["network"] == "not told"


def test_the_worst_rank_speaks() -> None:
    said = [{"off": 0.1, "device": "a", "count": 1}, {"off": 0.3, "device": "b", "count": 1}]
    assert distributed.worst(said) == {"off": 0.3}


def test_ranks_have_equal_shares() -> None:
    assert [distributed.slice_of(list(range(7)), rank, 3) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]


def told(folder: Path, said: str) -> Any:
    meeting = folder / "meeting"
    (folder / "meeting.1.json").write_text(said)
    return ranks._told(meeting, 1)


def test_what_a_rank_says_reaches_the_report(tmp_path: Path) -> None:
    assert told(tmp_path, '{"figures": {"off": 0.5}}') == {"off": 0.5}
    with pytest.raises(Failure, match="rank 1: wrong"):
        told(tmp_path, '{"failure": {"found": "rank 1: wrong", "expected": "right"}}')
    with pytest.raises(RuntimeError, match="rank 1: OSError"):
        told(tmp_path, '{"error": "OSError: no"}')


def test_frames_are_read_without_numpy() -> None:
    frames = [clips.frame(number, nvdec.WIDTH, nvdec.HEIGHT) for number in range(clips.FRAMES)]
    assert nvdec.read(b"".join(frames), "h264_cuvid") == clips.FRAMES
    with pytest.raises(Failure, match="frames"):
        nvdec.read(b"".join(reversed(frames)), "h264_cuvid")
    with pytest.raises(Failure, match="frames"):
        nvdec.read(b"".join(frames)[:-1000000], "h264_cuvid")


@pytest.mark.parametrize(("number", "text"), [(8902, "8.9.2"), (8500, "8.5.0"), (90100, "9.1.0"), (91002, "9.10.2")])
def test_cudnn_counts_in_two_ways(number: int, text: str) -> None:
    assert cuda_libraries.cudnn_version(number) == text
