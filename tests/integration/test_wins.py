"""Two packages that bring different files of one name: refused, until the profile says whose stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import standins
from rooms import Room

FIRST = standins.Wheel("acme-core", "1.0", (), {"acme/tool.py": "WHO = 'core'\n", "acme/core.py": "x = 1\n"})
SECOND = standins.Wheel("acme-tool", "1.0", (), {"acme/tool.py": "WHO = 'tool'\n"})


@pytest.fixture
def mine(room: Room, tmp_path: Path) -> Room:
    url = standins.index(tmp_path / "acme", [standins.torch(), FIRST, SECOND])
    standins.site_file(room.folder, url, only=["torch", "acme-*"])
    return room


CHECK = """
def check_who_won():
    from acme import core, tool

    assert (tool.WHO, core.x) == ({who!r}, 1)
"""


@pytest.mark.parametrize("how", [("buildkit",), ("classic",), ("compose", "--output", "oci:out")], ids=lambda e: e[0])
@pytest.mark.parametrize("who", ["core", "tool"])
def test_the_one_that_wins_is_in_the_image(mine: Room, who: str, how: tuple[str, ...]) -> None:
    (mine.folder / "won.py").write_text(CHECK.format(who=who))
    path, _ = mine.profile(f"packages: [acme-core, acme-tool]\nwins: [Acme_{who}]\nchecks: [won.py]\n")
    said = mine.good("build", path, "--engine", *how).stderr
    assert "FAIL" not in said


def test_undecided_it_is_no_image(mine: Room) -> None:
    path, _ = mine.profile("packages: [acme-core, acme-tool]\n")
    composed = mine.run("build", path, "--engine", "compose", "--output", "oci:out")
    assert composed.returncode == 6 and "acme/tool.py: acme-core and acme-tool" in composed.stderr
    assert "wins: says whose files stay" in composed.stderr
    built = mine.run("build", path, "--engine", "buildkit")
    assert built.returncode == 5 and "acme-core and acme-tool, such as acme/tool.py" in built.stderr


@pytest.mark.parametrize(("text", "code", "says"), [
    ("wins: [six, nobody]\n", 3, "wins: nobody is not among the packages"),
    ("wins: ['a b', 7]\n", 2, "is not the name of a package"),
    ("wins: six\n", 2, "wins"),
])  # fmt: skip
def test_who_cannot_win(room: Room, text: str, code: int, says: str) -> None:
    path, _ = room.profile(text)
    done = room.run("lock", path)
    assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr
