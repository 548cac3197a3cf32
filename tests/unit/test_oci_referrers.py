"""What belongs to an image in a registry: with its own list of it, and with the tag that stands for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_double import Asked, Fault, Registry, served
from small_images import pushed, target

from imagekit.errors import Surroundings
from imagekit.oci import referrers
from imagekit.oci.image import Image

KIND = "application/vnd.example.report+json"


@pytest.fixture(params=[True, False], ids=["referrers", "by tag"])
def there(request: pytest.FixtureRequest) -> Iterator[Registry]:
    with served(Registry(refers=request.param)) as registry:
        yield registry


@pytest.fixture
def image(there: Registry, tmp_path: Path) -> Image:
    return pushed(tmp_path, there)


def test_what_is_attached_is_found(there: Registry, image: Image) -> None:
    repository = target(there)
    assert referrers.of(repository, image.digest, KIND) == []
    first = referrers.attach(repository, image.digest, KIND, b'{"first":1}', {"when": "1"})
    second = referrers.attach(repository, image.digest, KIND, b'{"second":2}', {"when": "2"})
    referrers.attach(repository, image.digest, "application/other", b"x", {})
    found = referrers.of(repository, image.digest, KIND)
    assert [(one.digest, one.annotations) for one in found] == [(first, {"when": "1"}), (second, {"when": "2"})]
    assert [referrers.content(repository, one) for one in found] == [b'{"first":1}', b'{"second":2}']
    assert sorted(there.tags["ml/pytorch"]) == ["a"] if there.refers else len(there.tags["ml/pytorch"]) == 2


def test_the_same_once_more_changes_nothing(there: Registry, image: Image) -> None:
    for _ in range(2):
        referrers.attach(target(there), image.digest, KIND, b"{}", {"when": "1"})
    assert len(referrers.of(target(there), image.digest, KIND)) == 1


def test_two_who_write_the_list_at_the_same_moment(there: Registry, image: Image, tmp_path: Path) -> None:
    """The other one has read it before ours was in it, and writes it after."""
    repository, name = target(there), image.digest.replace(":", "-")
    first = referrers.attach(repository, image.digest, KIND, b"1", {})
    theirs, lost = there.tags["ml/pytorch"].get(name), list[int]()

    def overwritten(asked: Asked) -> None:
        """Just before each look at what was written, for a while."""
        writes = sum(one.method == "PUT" and one.path.endswith(name) for one in there.asked)
        if (
            theirs
            and asked.method == "GET"
            and asked.path.endswith(name)
            and lost.count(writes) < 1
            and writes in range(2, 4)
        ):
            lost.append(writes)
            there.tags["ml/pytorch"][name] = theirs

    there.fault = overwritten
    second = referrers.attach(repository, image.digest, KIND, b"2", {})
    there.fault = lambda _: None
    assert [one.digest for one in referrers.of(target(there), image.digest, KIND)] == [first, second]
    assert lost == ([] if there.refers else [2, 3])


def test_an_image_that_is_not_there(there: Registry, image: Image) -> None:
    with pytest.raises(Surroundings):
        referrers.attach(target(there), f"sha256:{'0' * 64}", KIND, b"{}", {})


@pytest.mark.parametrize(
    "fault", [Fault("status", 503), Fault("before"), Fault("after"), Fault("middle")], ids=lambda f: f.kind
)
def test_one_fault_at_any_request(there: Registry, image: Image, fault: Fault) -> None:
    before = len(there.asked)
    referrers.attach(target(there), image.digest, KIND, b"{}", {"number": "-"})
    for number in range(len(there.asked) - before):
        at = len(there.asked) + number
        there.fault = lambda asked, at=at: fault if asked.number == at else None  # type: ignore[misc]
        content = str(number).encode()
        referrers.attach(target(there), image.digest, KIND, content, {"number": str(number)})
        there.fault = lambda _: None
        found = {one.annotations["number"]: one for one in referrers.of(target(there), image.digest, KIND)}
        assert len(found) == number + 2 and referrers.content(target(there), found[str(number)]) == content


@pytest.mark.parametrize("text", [b"[]", b'{"manifests": 5}', b'{"manifests": [5]}', b"x"])
def test_a_list_that_is_none(there: Registry, image: Image, text: bytes) -> None:
    there.refers = False
    kind = "application/vnd.oci.image.index.v1+json"
    name = image.digest.replace(":", "-")
    there.manifests["ml/pytorch"]["sha256:x"] = (kind, text)
    there.tags["ml/pytorch"][name] = "sha256:x"
    with pytest.raises(Surroundings):
        referrers.of(target(there), image.digest, KIND)
