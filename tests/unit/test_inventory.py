"""Nodes out of `kubectl get nodes -o json` and `nvidia-smi -q -x`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagekit.cli.compat import command
from imagekit.compat import facts, inventory
from imagekit.compat.nodes import Node
from imagekit.errors import UsageError

SMI = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
\t<timestamp>Tue Nov 17 09:00:00 2026</timestamp>
\t<driver_version>535.183.01</driver_version>
\t<cuda_version>12.2</cuda_version>
\t<attached_gpus>2</attached_gpus>
\t<gpu id="00000000:07:00.0"><product_name>NVIDIA A100-SXM4-40GB</product_name></gpu>
\t<gpu id="00000000:0F:00.0"><product_name>NVIDIA A100-SXM4-40GB</product_name></gpu>
</nvidia_smi_log>
"""


def labelled(product: str, **more: str) -> dict[str, object]:
    labels = {
        "nvidia.com/gpu.product": product,
        **{f"nvidia.com/{key.replace('__', '-').replace('_', '.')}": v for key, v in more.items()},
    }
    return {"kind": "Node", "metadata": {"name": "node", "labels": labels}}


def read(tmp_path: Path, content: str) -> tuple[Node, ...]:
    (tmp_path / "nodes").write_text(content)
    return inventory.read(tmp_path / "nodes", facts.load())


def test_a_machine(tmp_path: Path) -> None:
    (node,) = read(tmp_path, SMI)
    assert (node.name, node.sm, node.driver, node.count) == ("NVIDIA A100-SXM4-40GB", "sm_80", "535.183.01", 1)


def test_a_cluster(tmp_path: Path) -> None:
    old = {"cuda_driver_major": "470", "cuda_driver_minor": "57", "cuda_driver_rev": "02"}
    items = [
        labelled("Tesla-V100-SXM2-32GB", **old), labelled("Tesla-V100-SXM2-32GB", **old),
        labelled("NVIDIA-H100-80GB-HBM3", cuda_driver__version_full="550.54.14"),
        labelled("Tesla-T4-SHARED", **old), labelled("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", **old),
        labelled("NVIDIA-Z9000", gpu_compute_major="9", gpu_compute_minor="0", **old),
        {"kind": "Node", "metadata": {"name": "without", "labels": {}}}, {"kind": "Node"},
    ]  # fmt: skip
    found = read(tmp_path, json.dumps({"kind": "List", "items": items}))
    assert [(node.sm, node.driver, node.count) for node in found] == [
        ("sm_70", "470.57.02", 2), ("sm_90", "550.54.14", 1), ("sm_75", "470.57.02", 1), ("sm_80", "470.57.02", 1),
        ("sm_90", "470.57.02", 1),
    ]  # fmt: skip
    assert found[-1].gpu is None


def test_the_cluster_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(
        json.dumps(labelled("Tesla-V100-SXM2-32GB", cuda_driver__version_full="470.57.02"))
    )
    done = CliRunner().invoke(command, ["check", "--torch", "2.9", "--nodes", str(tmp_path / "nodes.json")])
    assert done.exit_code == 3 and "Tesla-V100-SXM2-32GB: driver 470.57.02 is too old for CUDA 12.8" in done.output
    assert "driver >= 525.60.13 on Tesla-V100-SXM2-32GB" in done.output


@pytest.mark.parametrize("content", [
    "", "text", "{", "<html/>", "<nvidia_smi_log>", "[1, 2]", '{"items": 3}', "{}", '{"items": []}',
    '<!DOCTYPE x [<!ENTITY a "aaaa">]><nvidia_smi_log>&a;</nvidia_smi_log>', "<nvidia_smi_log/>",
    '{"items": [{"metadata": "x"}]}', "[" * 200_000,
])  # fmt: skip
def test_what_is_neither(content: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path, content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        inventory.read(tmp_path / "nowhere", facts.load())


def test_what_a_label_cannot_say_is_not_known(tmp_path: Path) -> None:
    item = labelled("Foo\x1b[2J\nyes", cuda_driver_major="N/A", gpu_compute_major="abc")
    (node,) = read(tmp_path, json.dumps(item))
    assert (node.name, node.sm, node.driver) == ("Foo[2Jyes", "", "")
