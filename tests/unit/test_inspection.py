"""What an image tells: its stack from labels and lock, layers by name, foreign images as far as they go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imagekit import inspection, record
from imagekit.errors import UsageError

LABELS = {
    "profile": "tiny", "torch": "2.4.1", "cuda": "12.1", "variant": "cu121", "python": "3.11", "os": "Debian 12",
    "gpu-architectures": "sm_50 sm_60 sm_90", "min-driver": "525.60.13", "glibc": "2.36", "cpu-level": "x86-64-v3",
    "features": "compile rdma", "lock": "sha256:" + "1" * 64, "version": "0.1.0", "suffix": "py312",
}  # fmt: skip
PACKAGES = [
    {"name": "torch", "version": "2.4.1", "group": "torch"},
    {"name": "nvidia-cudnn-cu12", "version": "9.1.0.70", "group": "cuda"},
    {"name": "nvidia-nccl-cu12", "version": "2.20.5", "group": "cuda"},
    {"name": "pillow", "version": "10", "group": "rest", "standin": True},
    {"name": "pillow-simd", "version": "10", "group": "rest", "source": True},
]
HISTORY = [
    ("", 160_000_000),
    ("SHELL [/bin/sh -euc]", 0),
    ("RUN /bin/sh -euc export X=1; apt-get install -y tini # buildkit", 2_000_000),
    ("COPY /layer/ / # buildkit", 2_000_000_000),
    ("COPY /layer/ / # buildkit", 900_000_000),
    ("COPY /layer/ / # buildkit", 20_000_000),
    ("COPY rootfs/ / # buildkit", 90_000),
    ("USER 1000:0", 0),
    ('CMD ["python"]', 0),
]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


class Engine:
    def __init__(self, labels: dict[str, str] | None = LABELS, more: list[tuple[str, int]] | None = None) -> None:
        self.labels, self.more = labels, more or []

    def image(self, _: str) -> dict[str, Any]:
        labels = {f"io.imagekit.{key}": value for key, value in (self.labels or {}).items()} or None
        config = {"Labels": labels, "User": "1000:0", "Cmd": ["python"], "Entrypoint": None}
        return {"Id": "sha256:12", "RepoTags": ["a:b"], "RepoDigests": None, "Size": 3_082_090_000,
                "Created": "2026-11-20T12:00:00Z", "Config": config}  # fmt: skip

    def history(self, _: str) -> list[dict[str, Any]]:
        return [{"CreatedBy": by, "Size": size} for by, size in [*HISTORY, *self.more]]

    def files(self, _: str, paths: list[str]) -> dict[str, bytes]:
        assert self.labels, "nothing is read from a foreign image"
        return {
            "/opt/imagekit/lock.json": json.dumps({"packages": PACKAGES}).encode(),
            "/opt/imagekit/record/system.txt": b"libc6=2.36-9\ntini=0.19\n",
            "/opt/imagekit/record/built-rest.txt": b"abcd  pillow_simd-10.whl\n",
        }


def told(engine: Engine) -> dict[str, str]:
    found = inspection.inspect(engine, "a:b")
    return {line[:9].strip(): line[10:] for line in inspection.lines(found)}


def test_an_image_of_ours() -> None:
    rows = told(Engine())
    assert rows["profile"].startswith("tiny (py312), lock sha256:1111")
    assert rows["stack"] == "torch 2.4.1+cu121  CUDA 12.1  cuDNN 9.1.0.70  NCCL 2.20.5  Python 3.11  Debian 12"
    assert rows["runs on"].startswith("sm_50 .. sm_90, driver >= 525.60.13, glibc 2.36 inside, CPU x86-64-v3")
    assert rows["not on"].startswith("B200 (sm_100)")
    assert rows["features"] == "compile rdma" and "3.1 GB in 6 layers, created 2026-11-20" in rows["size"]
    assert "imagekit test a:b" in rows["proven"] and "on top" not in rows


@pytest.mark.parametrize(("proven", "said"), [("20261120", "2026-11-20 on this machine"), ("", "without a proof")])
def test_the_records_of_this_machine_say_whether_it_is_proven(proven: str, said: str) -> None:
    for image, day in (("sha256:12", proven), ("sha256:34", "20261121")):
        record.save(record.Record(
            tag="a:c", key=image[-2:] * 20, created="20261101", image=image, lock="", base="", torch="", cuda="", python="",
            system={}, built={}, packages={}, proven=day,
        ))  # fmt: skip
    assert said in told(Engine())["proven"]


def test_layers_have_names_and_bars() -> None:
    lines = inspection.layer_lines(inspection.inspect(Engine(), "a:b"), width=10)
    assert [line.split("  ")[-1].strip() for line in lines] == [
        "base", "system", "wheels: cuda", "wheels: torch", "wheels: rest", "imagekit's own files",
    ]  # fmt: skip
    bars = [line.count("#") for line in lines]
    assert bars == [1, 1, 10, 4, 1, 1] and all(line.isascii() for line in lines)


def test_packages_in_the_order_of_layers_with_the_systems_own() -> None:
    lines = inspection.package_lines(inspection.inspect(Engine(), "a:b"))
    assert [line.split()[1] for line in lines] == [
        "nvidia-cudnn-cu12", "nvidia-nccl-cu12", "torch", "pillow", "pillow-simd", "libc6", "tini",
    ]  # fmt: skip
    assert lines[3].endswith("stand-in") and lines[4].endswith("built from source")


def test_overlays_and_the_roots_that_they_brought() -> None:
    rows = told(Engine(labels={**LABELS, "overlays": "acme", "trust": "acme-root.crt=sha256:ab"}))
    assert rows["profile"].startswith("tiny + acme (py312), lock sha256:1111")
    assert rows["trusts"] == "acme-root.crt (roots of an overlay)"


def test_an_image_that_was_built_on_one_of_ours() -> None:
    engine = Engine(
        more=[("USER root", 0), ("RUN /bin/sh -c pip install\tsix # buildkit", 5_000_000), ("USER 1000:0", 0)]
    )
    assert told(engine)["on top"].startswith("1 layer, 5 MB")
    found = inspection.inspect(engine, "a:b")
    assert found.layers[-1].name == "pip install six" and found.layers[0].name == "base"


def test_a_foreign_image_is_told_plainly() -> None:
    rows = told(Engine(labels=None))
    assert "not built by imagekit" in rows["foreign"] and "user 1000:0; runs python" in rows["config"]
    assert not {"profile", "stack", "proven"} & rows.keys()
    found = inspection.inspect(Engine(labels=None), "a:b")
    assert "foreign" in inspection.package_lines(found)[0]
    assert inspection.layer_lines(found)[2].endswith("COPY /layer/ /")
    answer = inspection.as_json(found)
    assert answer["ours"] is False and "packages" not in answer and len(answer["layers"]) == 6


def test_as_json() -> None:
    answer = json.loads(json.dumps(inspection.as_json(inspection.inspect(Engine(), "a:b"))))
    assert answer["packages"]["torch"] == "2.4.1" and answer["system"]["tini"] == "0.19"
    assert answer["labels"]["torch"] == "2.4.1" and answer["built"] == ["pillow_simd-10.whl"]
    assert answer["proven"] is None and answer["recorded"] is False


def test_an_image_that_is_not_there() -> None:
    engine = Engine()
    engine.image = lambda _: None  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(UsageError, match="the engine has no image"):
        inspection.inspect(engine, "a:b")


def test_a_torch_that_no_fact_chose_is_loud() -> None:
    of = inspection.inspect(Engine({**LABELS, "unknown": "torch 2.16.0 is not in the facts of 2026-11-20"}), "a:b")
    assert any(line.startswith("UNKNOWN   torch 2.16.0 is not in the facts") for line in inspection.lines(of))
    assert not any("UNKNOWN" in line for line in inspection.lines(inspection.inspect(Engine(), "a:b")))
