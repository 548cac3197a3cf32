"""The command line, run in an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry_double import Registry, served

from imagekit import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, stdout, stderr) of a command line; caches, records and logins are the test's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "IMAGEKIT_SITE"):
        monkeypatch.delenv(name, raising=False)
    for kind in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imagekit", *arguments])
        code = cli.execute()
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(params=[True, False], ids=["referrers", "no referrers"])
def there(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry that knows what refers to an image, and one that does not."""
    with served(Registry(refers=request.param)) as registry:
        yield registry
