"""Reports beside their image in a registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_double import Registry, served
from small_images import pushed, target

from imagekit import report as reports
from imagekit.errors import UsageError
from imagekit.oci import referrers
from imagekit.oci.image import MANIFEST, Image
from imagekit.proof import attached, evidence
from imagekit.proof.evidence import Kept
from imagekit.report import Check, Report


@pytest.fixture
def there() -> Iterator[Registry]:
    with served(Registry()) as registry:
        yield registry


@pytest.fixture
def image(there: Registry, tmp_path: Path) -> Image:
    return pushed(tmp_path, there)


def kept(image: str, day: int = 1, status: str = "PASS") -> Kept:
    checks = (Check("versions", "static", status), Check("training", "cpu", "PASS"))
    raw = reports.as_json(Report(image, checks, 1.0, time=f"2026-11-{day:02}T10:00:00+00:00", environment={"cpu": "x"}))
    return Kept(raw, reports.from_json(raw))


def test_they_are_found_newest_first_and_sent_once(there: Registry, image: Image) -> None:
    found = [kept(image.id, 3, "FAIL"), kept(image.digest, 2), kept(image.id, 1)]
    assert attached.send(target(there), "a", found) == 3
    assert attached.send(target(there), image.digest, [kept(image.id, 4), *found]) == 1
    back = attached.all_of(target(there), "a")
    assert [one.raw for one in back] == [one.raw for one in [kept(image.id, 4), *found]]
    told = referrers.of(target(there), image.digest, attached.KIND)
    assert {one.annotations["io.imagekit.verdict"] for one in told} == {"proven", "not proven"}
    assert {one.annotations["io.imagekit.stages"] for one in told} == {"cpu", "cpu static"}


def test_a_report_on_another_image_is_not_sent(there: Registry, image: Image) -> None:
    before = len(there.manifests["ml/pytorch"])
    with pytest.raises(UsageError, match="is another image"):
        attached.send(target(there), "a", [kept(image.id), kept(f"sha256:{'0' * 64}")])
    assert len(there.manifests["ml/pytorch"]) == before


def test_what_others_attached_is_no_word_on_this_image(there: Registry, image: Image) -> None:
    """Who may push may attach anything."""
    other = json.dumps(kept(f"sha256:{'0' * 64}").raw).encode()
    for content in (other, b"x", b"[]", b"{}", b"[" * 100_000):
        referrers.attach(target(there), image.digest, attached.KIND, content, {})
    assert attached.all_of(target(there), "a") == []


@pytest.mark.parametrize("layers", [[], [5], "x", [{"mediaType": attached.KIND, "digest": f"sha256:{'1' * 64}"}]])
def test_one_that_cannot_be_read_hides_no_other(there: Registry, image: Image, layers: object) -> None:
    repository = target(there)
    attached.send(repository, "a", [kept(image.id)])
    manifest = {"mediaType": MANIFEST, "artifactType": attached.KIND, "config": {"digest": image.id}, "layers": layers}
    content = json.dumps(manifest | {"subject": {"digest": image.digest}}).encode()
    there.manifests["ml/pytorch"][f"sha256:{hashlib.sha256(content).hexdigest()}"] = (MANIFEST, content)
    assert len(attached.all_of(repository, "a")) == 1


def test_an_image_that_is_not_there(there: Registry, image: Image) -> None:
    for name in ("b", f"sha256:{'0' * 64}"):
        with pytest.raises(UsageError, match="has no image"):
            attached.all_of(target(there), name)


def test_nothing_in_a_report_speaks_to_the_terminal(image: Image) -> None:
    one = kept(image.id)
    row = {**one.raw, "environment": {"cpu": "\x1b[31mred"}}
    assert "\x1b" not in "".join(evidence.lines("a", [Kept(row, reports.from_json(row))]))
