"""Tags: by the rules, from what the image is, and none that a registry refuses."""

from __future__ import annotations

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imagekit import tag
from imagekit.errors import BuildFailed, UsageError
from imagekit.profile import Wishes
from imagekit.site import Tags

KEY = "3f9c2a1" + "0" * 57


def names(profile: str = "tiny", settings: Tags = Tags(), **wishes: object) -> tag.Names:
    return tag.names(samples.lock(profile, Wishes(**wishes)).resolution, settings, KEY, "20260102")  # type: ignore[arg-type]


def test_the_profile_that_owns_the_bare_tag() -> None:
    found = names("video-llm")
    assert found.bare == "pytorch:2.4.1-cuda12.1"
    assert found.profile == "pytorch:2.4.1-cuda12.1-video-llm"
    assert found.immutable == "pytorch:2.4.1-cuda12.1-video-llm-20260102-3f9c2a1"
    assert found.failed == "pytorch:2.4.1-cuda12.1-video-llm-failed"
    assert found.moving == (found.bare, found.profile)


def test_other_profiles_do_not_touch_it() -> None:
    found = names("tiny")
    assert found.bare == "" and found.moving == ("pytorch:2.4.1-cuda12.1-tiny",)


def test_the_bare_tag_is_given_by_declaration() -> None:
    assert names("tiny", Tags(bare="tiny")).bare == "pytorch:2.4.1-cuda12.1"
    assert names("video-llm", Tags(bare="")).bare == ""


@pytest.mark.parametrize("wishes", [
    {"base": "distro:jammy"}, {"base": "image:debian:bookworm-slim"}, {"packages": ("tqdm",)}, {"python": "3.13"},
])  # fmt: skip
def test_what_differs_from_the_profile_never_gets_the_bare_tag(wishes: dict[str, object]) -> None:
    found = names("video-llm", **wishes)
    assert found.bare == ""
    assert found.profile.startswith(("pytorch:2.4.1-cuda12.1-video-llm-", "pytorch:2."))
    assert found.profile != names("video-llm").profile


def test_every_axis_has_its_suffix() -> None:
    every = [{}, {"base": "distro:jammy"}, {"base": "image:debian:bookworm-slim"}, {"packages": ("a",)}, {"packages": ("b",)}, {"packages": ("a>1",)}, {"packages": ("a>2",)}, {"torch": "2.9"}, {"cuda": "11.8"}]  # fmt: skip
    tags = [names(**wishes).profile for wishes in every]
    assert len(set(tags)) == len(every)


def test_a_repository_for_each_profile() -> None:
    assert names("tiny", Tags(repository="ml/{profile}")).profile == "ml/tiny:2.4.1-cuda12.1-tiny"


@pytest.mark.parametrize("repository", ["", "Upper", "a//b", "-a", "a:b", "a b", "a/"])
def test_a_repository_that_no_registry_takes(repository: str) -> None:
    with pytest.raises(UsageError, match="not a repository name"):
        names("tiny", Tags(repository=repository))


def test_a_tag_that_no_registry_takes() -> None:
    lock = samples.lock()
    for profile in ("x" * 130, "a+b", "a b", "ä"):
        wrong = lock.model_copy(update={"resolution": lock.resolution.model_copy(update={"profile": profile})})
        with pytest.raises(UsageError, match="not ones that a registry takes"):
            tag.names(wrong.resolution, Tags(), KEY, "20260102")


@given(st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True), min_size=1, max_size=12, unique=True))
def test_any_number_of_extra_packages_fits_a_tag(packages: list[str]) -> None:
    found = names("video-llm", packages=tuple(packages))
    assert all(len(name.split(":")[1]) <= 128 for name in (found.profile, found.immutable, found.failed))


def test_the_image_is_what_its_tag_says() -> None:
    lock = samples.lock()
    tag.check(lock, tag.Found("2.4.1+cu121", "12.1", "3.11"))
    tag.check(lock, tag.Found("2.4.1", "12.1", "3.11"))


@pytest.mark.parametrize(("found", "said"), [
    (("2.4.0+cu121", "12.1", "3.11"), "torch: the image has 2.4.0, the lock says 2.4.1"),
    (("2.4.1+cu118", "11.8", "3.11"), "CUDA: the image has 11.8, the lock says 12.1"),
    (("2.4.1+cpu", "", "3.11"), "CUDA: the image has , the lock says 12.1"),
    (("2.4.1", "12.1", "3.13"), "Python: the image has 3.13, the lock says 3.11"),
])  # fmt: skip
def test_an_image_that_is_something_else(found: tuple[str, str, str], said: str) -> None:
    with pytest.raises(BuildFailed) as error:
        tag.check(samples.lock(), tag.Found(*found))
    assert said in str(error.value) and "no tag was moved" in str(error.value)
