"""Requirements files: what is sane is followed, the rest is refused, all lines at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagekit import project
from imagekit.compat.resolve import resolve
from imagekit.errors import UsageError
from imagekit.profile import Wishes, load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, python: str = "3.11") -> list[project.Line]:
    Path("requirements.txt").write_text(text, encoding="utf-8")
    return project.requirements(Path(), ["requirements.txt"], python)


def refused(text: str) -> str:
    with pytest.raises(UsageError) as error:
        read(text)
    return str(error.value)


def test_comments_continuations_markers_and_extras() -> None:
    lines = read(
        "\ufeff# head\nsix >=1.16   # why\nrich[jupyter]==13.0 \\\n  # not here\ntomli; python_version < '3.11'\n"
        "numpy==1.26 ; python_version < '3.12' and sys_platform == 'linux'\nnumpy==2.0 ; python_version >= '3.12'\n"
        "odd ; python_full_version > '3.11.2'\n"
    )
    assert [(line.text, line.where) for line in lines] == [
        ("six >=1.16", "requirements.txt:2"), ("rich[jupyter]==13.0", "requirements.txt:3"),
        ("numpy==1.26", "requirements.txt:6"), ("odd ; python_full_version > '3.11.2'", "requirements.txt:8"),
    ]  # fmt: skip


def test_hashes_are_kept() -> None:
    one, two = "a" * 64, "b" * 64
    (line,) = read(f"six==1.17.0 \\\n    --hash=sha256:{two} \\\n    --hash=sha256:{one}\n")
    assert line.text == "six==1.17.0" and line.hashes == (one, two)


def test_included_files_are_followed_once_and_within_the_folder() -> None:
    Path("more").mkdir()
    Path("more/a.txt").write_text("-r b.txt\n-r ../requirements.txt\nsix\n")
    Path("more/b.txt").write_text("idna\n")
    assert [line.name for line in read("--requirement more/a.txt\n-rmore/b.txt\n-r=more/a.txt\ntqdm\n")] == [
        "idna",
        "six",
        "tqdm",
    ]
    assert "a.txt is outside" in refused("-r ../a.txt\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--extra-index-url https://x.example/simple", "site file"), ("-i https://x.example", "site file"),
        ("-fhttps://x.example", "site file"), ("-e .", "files:"), ("-e.", "files:"), ("./local", "files:"),
        ("acme-1.0-py3-none-any.whl", "files:"), ("git+https://me:pw@x.example/r", "names a URL"),
        ("acme @ https://x.example/a.whl", "names a URL"), ("-c constraints.txt", "constraints"), ("--pre", "imagekit's"),
        ("--no-binary :all:", "imagekit's"), ("six --config-settings a=b", "imagekit's"), ("six --hash=md5:abc", "sha256"),
        ("six==${VERSION}", "a variable"), ("six >=", "PEP 508"), ("-r missing.txt", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_refused_with_the_reason(line: str, says: str) -> None:
    message = refused(f"idna\n{line}\n")
    assert says in message and "requirements" in message and "me:pw" not in message


def test_all_lines_of_all_files_are_told_at_once() -> None:
    Path("b.txt").write_text("-e .\n")
    message = refused("-i https://x.example\n-r b.txt\nsix==1\nsix==2\n")
    assert (
        "requirements.txt:1" in message
        and "b.txt:1" in message
        and "requirements.txt:4: six==2: requirements.txt:3 has six==1" in message
    )


def test_torch_with_its_cuda_in_the_version() -> None:
    Path("mine.yaml").write_text("extends: tiny\nrequirements: [requirements.txt]\n")
    Path("requirements.txt").write_text("torch==2.4.1+cu121\n")
    assert resolve(load("./mine.yaml"), Wishes()).variant == "cu121"
