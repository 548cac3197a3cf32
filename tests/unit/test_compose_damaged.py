"""A wheel of the store that was damaged since it was fetched: said so, removed, and got again by the next build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import standins
from samples import sha256 as text_hash

from imagekit import compose, gathered, wheels
from imagekit.compose import Compiler, Slot, Wheel, source
from imagekit.compose.system import System
from imagekit.errors import BuildFailed, Surroundings
from imagekit.files import sha256
from imagekit.oci.kept import Kept


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Kept(tmp_path / "layers")


@pytest.fixture
def wheel(tmp_path: Path, shelf: Kept) -> Wheel:
    made = standins.Wheel("first", "1.0", (), {"first.py": "text = 'the content'\n"})
    (tmp_path / made.file).write_bytes(made.content())
    digest = sha256(tmp_path / made.file)
    return Wheel("first", "1.0", "heavy", digest, wheels.store().add(made.file, digest, made.content))


def flip(wheel: Wheel, text: bytes) -> None:
    """One bit of one byte of that text."""
    content = wheel.path.read_bytes()
    wheel.path.write_bytes(content.replace(text, bytes([text[0] ^ 1]) + text[1:], 1))


def ahead(wheel: Wheel, shelf: Kept) -> None:
    compose.ahead(wheel, "3.11", shelf, lambda _: None)


def read(wheel: Wheel, shelf: Kept) -> None:
    compose._Files([wheel], "3.11", (), shelf)


@pytest.mark.parametrize(("text", "convert"), [(b"the content", ahead), (b"PK\1\2", ahead), (b"PK\1\2", read)])
def test_the_disk_is_named_and_not_who_made_it(
    wheel: Wheel, shelf: Kept, text: bytes, convert: Callable[[Wheel, Kept], None]
) -> None:
    flip(wheel, text)
    with pytest.raises(Surroundings, match="damaged in the wheel store: first-1.0") as error:
        convert(wheel, shelf)
    assert "build again" in error.value.hint and wheel.sha256 in str(error.value)
    assert not wheel.path.exists()


def test_a_layer_of_several(wheel: Wheel, shelf: Kept) -> None:
    """All of a layer are read, of those that are good none is removed; another thread may have been there before."""
    files = compose._Files([wheel], "3.11", (), shelf)
    flip(wheel, b"the content")
    with pytest.raises(BuildFailed, match="cannot be made a layer"):
        compose._made(Slot((wheel,), False), files, Compiler(System((), {}), "3.11", shelf), shelf)
    good = wheels.store().add("good-1-py3-none-any.whl", text_hash("good"), lambda: b"good")
    for _ in range(2):
        with (
            pytest.raises(Surroundings, match="damaged"),
            wheels.unharmed({wheel.path: wheel.sha256, good: text_hash("good")}),
        ):
            raise BuildFailed("no good wheel")
        assert good.exists() and not wheel.path.exists()


def test_who_made_a_bad_one_is_named(wheel: Wheel) -> None:
    with pytest.raises(BuildFailed, match="no good wheel"), wheels.unharmed({wheel.path: wheel.sha256}):
        raise BuildFailed("no good wheel")
    assert wheel.path.exists()


def test_what_a_package_is_built_from(wheel: Wheel, shelf: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source and its tools: pip refuses them by their hash, as imagekit does where it installs them."""

    def refuses(*arguments: Any) -> tuple[Path, str]:
        fetched = arguments[-1]
        assert fetched("sources/demo") == {"sources/demo/first.whl": wheel.path}
        raise BuildFailed("demo could not be built from its source")

    lock: Any = SimpleNamespace(beside=lambda name: ())
    nothing: Any = None
    work = gathered._Gathering(nothing, lock, nothing, shelf, lambda *_: None)
    monkeypatch.setattr(source, "wheel", refuses)
    monkeypatch.setattr(work, "_fetched", lambda folder: {f"{folder}/first.whl": wheel.path})
    demo: Any = SimpleNamespace(name="demo")
    with pytest.raises(BuildFailed, match="could not be built"):
        work.from_source(demo, System((), {}))
    flip(wheel, b"the content")
    with pytest.raises(Surroundings, match="damaged in the wheel store: first-1.0"):
        work.from_source(demo, System((), {}))
    assert not wheel.path.exists()
