"""Constraints from the facts, at versions that are known: what is added, held, refused, said."""

from __future__ import annotations

import pytest
import samples

from imagekit.compat import facts
from imagekit.compat.resolve import resolve
from imagekit.compat.review import Review, again, review
from imagekit.compat.rows import Constraint
from imagekit.profile import Wishes, load

FACTS = facts.load()


def row(**changes: object) -> Constraint:
    fields = {
        "id": "made-up", "package": "acme", "versions": "<2", "when": {}, "needs": (), "needs_apt": (), "effect": "warn",
        "reason": "Because.", "sources": (), "note": "",
    }  # fmt: skip
    return Constraint(**{**fields, **changes})  # type: ignore[arg-type]


def seen(
    *rows: Constraint, versions: dict[str, str] | None = None, apt: tuple[str, ...] = (), fixed: tuple[str, ...] = ()
) -> Review:
    about = {"python": "3.11", "cuda": "12.1", "glibc": "2.36", "ffmpeg": "5.1"}
    return review(rows, versions or {"acme": "1.5", "numpy": "2.1"}, about, apt, fixed)


@pytest.mark.parametrize("change", [
    {"versions": ">=2"}, {"package": "absent"}, {"when": {"python": ">=3.12"}}, {"when": {"absent": ""}},
    {"when": {"numpy": "<2"}}, {"when": {"python": ">=3.8", "cuda": "<12"}}, {"when": {"compute_capability": ">=9"}},
])  # fmt: skip
def test_a_row_that_does_not_apply(change: dict[str, object]) -> None:
    found = seen(row(effect="refuse", **change), row(needs=("x",), effect="add", **change), row(**change))
    assert (found.wants, found.holds, found.refused, found.warnings) == ([], [], [], [])


def test_names_are_normalised() -> None:
    assert seen(row(package="AC_me"), versions={"ac-me": "1.5"}).warnings


def test_add_makes_a_requirement_that_names_its_fact() -> None:
    (want,) = seen(row(effect="add", needs=("setuptools<82",))).wants
    assert (want.requirement, want.why) == ("setuptools<82", "fact made-up")


def test_refuse_with_a_need_holds_what_can_still_move() -> None:
    found = seen(row(effect="refuse", needs=("numpy<2",)))
    assert [want.requirement for want in found.holds] == ["numpy<2"] and not found.refused


def test_refuse_with_a_need_refuses_what_cannot_move() -> None:
    found = seen(row(effect="refuse", needs=("numpy<2",)), fixed=("numpy",))
    assert found.refused == ["Because. [made-up]"] and not found.holds
    assert not seen(row(effect="refuse", needs=("numpy<3",)), fixed=("numpy",)).refused


def test_refuse_without_a_need_refuses_the_combination() -> None:
    assert seen(row(effect="refuse", when={"numpy": ">=2"})).refused == ["Because. [made-up]"]


def test_warn_is_silent_once_its_needs_are_met() -> None:
    assert seen(row(needs=("numpy>=2",))).warnings == []
    assert seen(row(needs=("numpy<2",))).warnings == ["Because. [made-up]"]
    assert seen(row(needs_apt=("gcc",)), apt=("gcc",)).warnings == []
    assert seen(row(needs_apt=("gcc",))).warnings == ["Because. [made-up]"]
    assert seen(row()).warnings == ["Because. [made-up]"]


def test_a_pre_release_is_in_its_range() -> None:
    assert seen(row(versions=">=1"), versions={"acme": "1.5rc1"}).warnings


@pytest.mark.parametrize("torch", [release.version for release in FACTS.releases])
def test_no_release_is_refused_on_its_own(torch: str) -> None:
    """Every fact's ranges and requirements can be read, at every torch."""
    r = resolve(load("tiny"), Wishes(torch=torch))
    again(r, {"torch": torch, "numpy": "1.26.4", "pip": "25.0"})


def test_numpy_2_is_held_back_from_a_torch_that_was_built_for_numpy_1() -> None:
    r = resolve(load("base"), Wishes(torch="2.1.2"))
    held = [want.requirement for want in (*r.constraints, *r.wants)]
    held += [want.requirement for want in again(r, {"torch": "2.1.2", "numpy": "2.1.0"}).holds]
    assert any(line.replace(" ", "").startswith("numpy<2") for line in held)


def test_a_setuptools_that_triton_forgot_to_ask_for_is_added() -> None:
    wanted = [
        want for want in resolve(load("tiny"), Wishes(torch="2.4.1")).wants if want.requirement.startswith("setuptools")
    ]
    assert wanted and wanted[0].why.startswith("fact ")
    assert samples.lock().resolution.wants == resolve(load("tiny"), Wishes()).wants
