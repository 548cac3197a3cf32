"""Nodes out of a file that a cluster or a machine wrote of itself: `kubectl get nodes -o json`, `nvidia-smi -q -x`."""

from __future__ import annotations

import json
import re
import xml.parsers.expat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from imagekit.compat import nodes
from imagekit.compat.facts import Facts
from imagekit.compat.nodes import Node
from imagekit.errors import UsageError

LIMIT = 200_000_000
"""Bytes: a cluster of ten thousand nodes has about 100 MB of JSON."""

HINT = "kubectl get nodes -o json, or nvidia-smi -q -x"

Kind = tuple[str, str, str]
"""GPU as it is called there, architecture where it is told ("sm_80"), driver."""


def read(path: Path, facts: Facts) -> tuple[Node, ...]:
    """One node for each kind of GPU and driver, with how many there are. Raises UsageError."""
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file", hint=HINT)
        if path.stat().st_size > LIMIT:
            raise UsageError(f"{path} has more than {LIMIT // 1_000_000} MB", hint=HINT)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=HINT) from None
    kinds = _smi(path, text) if text.lstrip().startswith("<") else _kubernetes(path, text)
    if not kinds:
        raise UsageError(f"{path} names no NVIDIA GPU", hint=HINT)
    return tuple(_node(kind, count, facts) for kind, count in kinds.items())


def _node(kind: Kind, count: int, facts: Facts) -> Node:
    model, sm, driver = ("".join(c for c in part if c.isprintable()) for part in kind)
    row = facts.gpu(model)
    sm = sm if re.fullmatch(r"sm_\d{2,3}", sm) else ""
    driver = driver if re.fullmatch(r"\d{3,4}(\.\d{1,3}){0,2}", driver) else ""  # N/A, where nobody knows it
    return Node(
        model, row.sm if row else sm, row, nodes.driver(driver) if driver else "", count, pool=True, model=model
    )


def _smi(path: Path, text: str) -> Counter[Kind]:
    """One machine: all GPUs of a model are one node, which needs each of them."""
    if "<!ENTITY" in text:  # expat expands entities; nvidia-smi writes none
        raise UsageError(f"{path} is not of nvidia-smi", hint=HINT)
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, xml.parsers.expat.ExpatError) as error:
        raise UsageError(f"{path} is not XML: {error}", hint=HINT) from None
    if root.tag != "nvidia_smi_log":
        raise UsageError(f"{path} is not of nvidia-smi: its root is {root.tag}", hint=HINT)
    driver = (root.findtext("driver_version") or "").strip()
    return Counter({((gpu.findtext("product_name") or "").strip(), "", driver): 1 for gpu in root.iter("gpu")})


def _kubernetes(path: Path, text: str) -> Counter[Kind]:
    """The labels of gpu-feature-discovery (NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery/README.md)."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is neither JSON nor XML: {error}", hint=HINT) from None
    items = raw.get("items", [raw]) if isinstance(raw, dict) else raw
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UsageError(f"{path} is no list of nodes", hint=HINT)
    found: Counter[Kind] = Counter()
    for item in items:
        about = item.get("metadata")
        labels = about.get("labels") if isinstance(about, dict) else None
        if isinstance(labels, dict) and labels.get("nvidia.com/gpu.product"):
            found[_kind(labels)] += 1
    return found


def _kind(labels: Mapping[str, Any]) -> Kind:
    def of(*names: str) -> str:
        return ".".join(str(labels[f"nvidia.com/{name}"]) for name in names if labels.get(f"nvidia.com/{name}"))

    # time slicing and MIG add to the name: Tesla-T4-SHARED, NVIDIA-A100-SXM4-40GB-MIG-1g.5gb
    model = of("gpu.product").removesuffix("-SHARED").partition("-MIG-")[0]
    major, minor = of("gpu.compute.major"), of("gpu.compute.minor") or "0"
    driver = of("cuda.driver-version.full") or of("cuda.driver.major", "cuda.driver.minor", "cuda.driver.rev")
    return model, f"sm_{major}{minor}" if major else "", driver
