"""Two images, and what becomes of who goes from one to the other."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imagekit import difference
from imagekit.difference import EMPTY, Side
from imagekit.errors import UsageError
from imagekit.inspection import Inspection
from imagekit.report import Check, Report

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def side(layers: tuple[tuple[str, int], ...] = ((A, 10),), *, checks: tuple[Check, ...] = (), **told: Any) -> Side:
    of = Inspection("name", A, (), 10, "", "", "", (), {"profile": "x", "torch": "2.4.1"})
    proof = Report(A, checks, 1.0) if checks else None
    return Side(dataclasses.replace(of, **told), layers, True, proof)


def packages(**versions: str) -> tuple[dict[str, Any], ...]:
    return tuple({"name": name, "version": version, "size": 1000 * len(version)} for name, version in versions.items())


def test_nothing_differs() -> None:
    found = difference.between(side(), side())
    assert found.identical and found.pull == 0
    assert difference.lines(found) == ["the same image"]
    other = difference.between(side(), side(image=B))
    assert not other.identical and "differs: the environment" in difference.lines(other)[-1]


def test_packages_come_and_go_and_change() -> None:
    found = difference.between(
        side(packages=packages(gone="1", same="1", changed="1"), system={"libc6": "1", "libssl3": "1"}),
        side(packages=packages(new="1", same="1", changed="1.10"), system={"libc6": "2", "libssl3": "1"}),
    )
    assert [(p.name, p.before, p.after, p.size) for p in found.packages] == [
        ("changed", "1", "1.10", 3000), ("gone", "1", "", -1000), ("new", "", "1", 1000),
    ]  # fmt: skip
    assert [(p.name, p.before, p.after) for p in found.system] == [("libc6", "1", "2")]


def test_a_system_that_is_not_known_has_no_changes() -> None:
    assert difference.between(side(system={"libc6": "1"}), side()).system == ()


def test_layers_that_both_have_are_not_pulled() -> None:
    found = difference.between(side(((A, 10), (B, 5))), side(((A, 10), (C, 7), (B, 5))))
    assert (found.shared, found.layers, found.pull, found.gone) == (2, 3, 7, 0)
    fewer = difference.between(side(((A, 10), (B, 5))), side(((A, 10),), image=B))
    assert (fewer.shared, fewer.layers, fewer.pull, fewer.gone) == (1, 1, 0, 1)
    assert "1 of the first gone; nothing to pull" in difference.lines(fewer)[-1]


def test_what_it_runs_on() -> None:
    newer = side(labels={"profile": "x", "torch": "2.9.1", "glibc": "2.41", "version": "9"})
    assert difference.between(side(), newer).labels == (("torch", "2.4.1", "2.9.1"), ("glibc", "", "2.41"))


def test_behaviour_is_that_of_two_proofs() -> None:
    def proof(status: str, **figures: object) -> tuple[Check, ...]:
        return (
            Check("video-av", "cpu", "PASS", figures=tuple(figures.items())), Check("training", "cpu", status),
            Check("loader", "cpu", "PASS", figures=(("samples", 3),)), Check("gpu-attention", "gpu", "SKIP"),
        )  # fmt: skip

    before = side(checks=proof("PASS", turned="ignored", seconds=1.0, codecs=["h264"], by={"cut": "none"}))
    after = side(checks=proof("FAIL", turned="applied", seconds=2.0, codecs=["h264", "vp9"], by={"cut": "none"}))
    found = difference.between(before, after)
    assert found.behaviour == (
        ("video-av codecs", "h264", "h264 vp9"), ("video-av turned", "ignored", "applied"),
        ("training", "PASS", "FAIL"),
    )  # fmt: skip
    assert found.unproven == ()
    alone = difference.between(before, side(image=B))
    assert alone.behaviour == () and alone.unproven == ("name",)
    assert any("no proof of name is on record" in line for line in difference.lines(alone))


class Engine:
    def __init__(self, digests: list[str], sizes: list[int], labels: dict[str, str] | None = None) -> None:
        self.digests, self.sizes, self.labels = digests, sizes, labels

    def image(self, _: str) -> dict[str, Any]:
        labels = {"io.imagekit.profile": "x"} if self.labels is None else self.labels
        return {"Id": A, "Config": {"Labels": labels}, "RootFS": {"Layers": self.digests}}

    def history(self, _: str) -> list[dict[str, Any]]:
        return [{"CreatedBy": "x", "Size": size} for size in self.sizes]

    def files(self, *_: object) -> dict[str, bytes]:
        return {}


@pytest.mark.parametrize(("digests", "sizes", "layers"), [
    ([A, B], [5, 0, 7], ((A, 5), (B, 7))), ([A, EMPTY, B], [5, 0, 0, 7], ((A, 5), (B, 7))),
    ([A, B, C], [5, 7], ((A, 0), (B, 0), (C, 0))),
])  # fmt: skip
def test_an_engine_tells_sizes_by_the_history(
    digests: list[str], sizes: list[int], layers: tuple[tuple[str, int], ...]
) -> None:
    found = difference.side(Engine(digests, sizes), "name")
    assert found.layers == layers and not found.compressed


def test_a_foreign_image_has_no_packages_to_compare() -> None:
    with pytest.raises(UsageError, match="not built by imagekit"):
        difference.side(Engine([A], [5], {}), "name")
