"""Layers of large wheels that are made before the other wheels are there."""

from __future__ import annotations

from pathlib import Path

import standins

from imagekit import compose
from imagekit.compose import Compiler, Slot, Wheel
from imagekit.compose.system import System
from imagekit.files import sha256
from imagekit.oci.image import Stacked
from imagekit.oci.kept import Kept


def wheel(folder: Path, name: str, **modules: str) -> Wheel:
    made = standins.Wheel(name, "1.0", (), {f"shared/{module}.py": text for module, text in modules.items()})
    path = folder / made.file
    path.write_bytes(made.content())
    return Wheel(name, "1.0", "heavy", sha256(path), path)


def test_the_guess_that_nothing_is_shared(tmp_path: Path) -> None:
    shelf, told = Kept(tmp_path / "layers"), list[Stacked]()
    first, second = wheel(tmp_path, "first", a="1\n"), wheel(tmp_path, "second", b="2\n")
    compose.ahead(first, "3.11", shelf, told.append)
    compiler = Compiler(System((), {}), "3.11", shelf)
    files = compose._Files([first, second], "3.11", (), shelf)
    found = compose._made(Slot((first,), False), files, compiler, shelf)
    assert [one.layer for one in told] == [found[0]]
    assert len(list((tmp_path / "layers/blobs").iterdir())) == 1, "it is not made again"


def test_a_wrong_guess_is_in_no_image(tmp_path: Path) -> None:
    shelf, told = Kept(tmp_path / "layers"), list[Stacked]()
    loses, stays = wheel(tmp_path, "loses", a="1\n", mine="x = 1\n"), wheel(tmp_path, "stays", a="2\n")
    compose.ahead(loses, "3.11", shelf, told.append)
    files = compose._Files([loses, stays], "3.11", ["stays"], shelf)
    layer, _ = compose._made(Slot((loses,), False), files, Compiler(System((), {}), "3.11", shelf), shelf)
    assert layer.digest != told[0].layer.digest and layer.files == told[0].layer.files - 1


def test_what_fits_every_python_is_made_once(tmp_path: Path) -> None:
    """Not even read again for another one; headers lie in a folder of their Python."""
    shelf, told = Kept(tmp_path / "layers"), list[Stacked]()
    pure = wheel(tmp_path, "pure", a="1\n")
    headers = standins.Wheel("headers", "1.0", (), {"headers-1.0.data/headers/a.h": "/* */"})
    (tmp_path / headers.file).write_bytes(headers.content())
    bound = Wheel("headers", "1.0", "heavy", sha256(tmp_path / headers.file), tmp_path / headers.file)
    for python in ("3.11", "3.13"):
        compose.ahead(bound, python, shelf, told.append)
        compose.ahead(pure, python, shelf, told.append)
        pure.path.unlink(missing_ok=True)
    digests = [one.layer.digest for one in told]
    assert digests[1] == digests[3] and digests[0] != digests[2]
