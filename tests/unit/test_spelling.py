"""Versions as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.compat import spelling
from imagekit.errors import UsageError

small = st.integers(0, 30)


@given(
    small,
    small,
    st.none() | small,
    st.sampled_from(["", "v", "V"]),
    st.sampled_from(["", "+cu118", "+cu121", "+cu130"]),
)
def test_every_way_to_write_a_torch(major: int, minor: int, patch: int | None, before: str, variant: str) -> None:
    version = f"{major}.{minor}" + (f".{patch}" if patch is not None else "")
    assert spelling.torch(f" {before}{version}{variant} ") == (version, variant.removeprefix("+"))


@given(st.integers(10, 99), st.integers(0, 9), st.none() | small)
def test_every_way_to_write_a_cuda(major: int, minor: int, patch: int | None) -> None:
    dotted = f"{major}.{minor}"
    ways = [dotted, f"{major}{minor}", f"cu{major}{minor}", f"CU{major}{minor}", f"cuda{major}{minor}"]
    ways += [f"{dotted}.{patch}"] if patch is not None else []
    assert {spelling.cuda(way) for way in ways} == {dotted}


@given(st.integers(0, 30), st.none() | small)
def test_every_way_to_write_a_python(minor: int, patch: int | None) -> None:
    dotted = f"3.{minor}"
    ways = [dotted, f"3{minor}", f"py3{minor}", f"cp3{minor}", f"python3.{minor}"]
    ways += [f"{dotted}.{patch}"] if patch is not None else []
    assert {spelling.python(way) for way in ways} == {dotted}


@given(st.text(max_size=12))
def test_anything_else_is_refused_with_how_to_write_it(text: str) -> None:
    for read in (spelling.torch, spelling.cuda, spelling.python):
        try:
            read(text)
        except UsageError as error:
            assert "write it as" in error.hint


@pytest.mark.parametrize(
    "text", ["", "2", "two", "2.4.1.2", "2.4.1+rocm6", "-2.4", "2.4; rm -rf /", "2.4\n2.5", ">=2.4", "٢.٤"]
)
def test_what_is_not_a_torch(text: str) -> None:
    with pytest.raises(UsageError):
        spelling.torch(text)


@pytest.mark.parametrize("text", ["", "12", "cpu", "cu12", "cu1211", "12.1.1.1", "12.", "rocm"])
def test_what_is_not_a_cuda(text: str) -> None:
    with pytest.raises(UsageError):
        spelling.cuda(text)


@pytest.mark.parametrize("text", ["", "2.7", "three", "3", "4.0", "3.11-dev"])
def test_what_is_not_a_python(text: str) -> None:
    with pytest.raises(UsageError):
        spelling.python(text)
