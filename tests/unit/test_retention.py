"""Which images of a repository nobody needs any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from registry_double import Fault, Registry
from small_images import labelled, target

from imagekit import publish
from imagekit.oci import referrers
from imagekit.oci.image import Image
from imagekit.oci.push import push
from imagekit.oci.sending import Sending
from imagekit.tag import Names

Run = Callable[..., tuple[int, str, str]]
NOW = datetime(2026, 11, 22, 3, tzinfo=timezone.utc)
STAGING, PROD = "staging/pytorch", "prod/pytorch"


@pytest.fixture(autouse=True)
def a_site(tmp_path: Path, there: Registry) -> None:
    (tmp_path / "imagekit.toml").write_text(
        f'[registry]\npush = "{there.address}/staging"\nprod = "{there.address}/prod"\n'
    )


def made(there: Registry, folder: Path, number: int, profile: str = "vision") -> Image:
    """The image of the day `number`, under its names."""
    content = f"{profile} {number}"
    found = labelled(folder / content, content, {"profile": profile, "torch": "2.4.1", "cuda": "12.1"})
    push(found, Sending(target(there, STAGING)), [])
    stem = f"pytorch:2.4.1-cuda12.1-{profile}"
    names = Names(stem, f"{stem}-202611{number:02}-aaaaaaa")
    publish.settle(target(there, STAGING), found.digest, names, NOW + timedelta(days=number))
    return found


def tags(there: Registry) -> set[str]:
    return {tag.partition("-cuda12.1-")[2] for tag in there.tags[STAGING] if not tag.startswith("sha256-")}


def test_the_newest_of_each_profile_stay(run: Run, there: Registry, tmp_path: Path) -> None:
    images = {
        (profile, day): made(there, tmp_path, day, profile) for profile in ("vision", "base") for day in (1, 2, 3)
    }
    code, out, err = run("registry", "prune", "--keep", "2", "--dry-run")
    assert code == 0 and len(tags(there)) == 8 and "2 images would go" in err
    assert {line.split()[0] for line in out.splitlines()} == {images["vision", 1].digest, images["base", 1].digest}
    assert run("registry", "prune", "--keep", "2")[0] == 0
    assert tags(there) == {
        f"{name}{end}" for name in ("vision", "base") for end in ("", "-20261102-aaaaaaa", "-20261103-aaaaaaa")
    }
    assert json.loads(run("registry", "prune", "--keep", "2", "--json")[1]) == []


def test_what_is_used_stays(run: Run, there: Registry, tmp_path: Path) -> None:
    """What a moving name leads to, what was promoted, and what is nobody's."""
    first, second, third, fourth = (made(there, tmp_path, day) for day in (1, 2, 3, 4))
    publish.move(
        target(there, STAGING),
        {"2.4.1-cuda12.1-vision": fourth.digest},
        first.digest,
        NOW + timedelta(days=9),
        back=True,
    )
    push(second, Sending(target(there, PROD)), ["under-another-name"])
    push(third, Sending(target(there, STAGING)), ["somebodys"])
    assert run("registry", "prune", "--keep", "1")[0] == 0
    left = {target(there, STAGING).digest_of(f"2.4.1-cuda12.1-vision-2026110{day}-aaaaaaa") for day in (1, 2, 3, 4)}
    assert left == {first.digest, second.digest, third.digest, fourth.digest}


def test_what_is_attached_goes_too(run: Run, there: Registry, tmp_path: Path) -> None:
    first = made(there, tmp_path, 1)
    made(there, tmp_path, 2)
    attached = {one.digest for one in referrers.all_of(target(there, STAGING), first.digest)}
    assert attached and run("registry", "prune", "--keep", "1")[0] == 0
    assert not attached & there.manifests[STAGING].keys() and first.digest not in there.manifests[STAGING]
    assert first.digest.replace(":", "-") not in there.tags[STAGING]


@pytest.mark.parametrize("status", [405, 404])
def test_a_registry_that_removes_nothing(run: Run, there: Registry, tmp_path: Path, status: int) -> None:
    made(there, tmp_path, 1), made(there, tmp_path, 2)
    there.fault = lambda asked: Fault("status", status) if asked.method == "DELETE" else None
    code, _, err = run("registry", "prune", "--keep", "1")
    assert code == 4 and "removes nothing" in err and len(tags(there)) == 3


def test_what_cannot_be_is_said(run: Run, there: Registry) -> None:
    assert run("registry", "prune", "--keep", "0")[0] == 2
    code, _, err = run("registry", "prune", f"{there.address}/staging/pytorch:tag")
    assert code == 2 and "is an image" in err
    code, out, err = run("registry", "prune", f"{there.address}/nothing/here")
    assert code == 0 and not out and "0 images removed" in err
