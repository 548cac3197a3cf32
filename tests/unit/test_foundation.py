"""Which registry's digest leads back to an image base."""

from __future__ import annotations

import pytest

from imagekit import foundation

IMAGE: dict[str, object] = {
    "RepoDigests": ["company/base@sha256:a", "debian@sha256:b", "127.0.0.1:5000/team/x@sha256:c"]
}


@pytest.mark.parametrize(
    ("reference", "digest"),
    [
        ("company/base:1", "sha256:a"),
        ("company/base@sha256:a", "sha256:a"),
        ("company/base-cuda:1", ""),  # the same image by another name, which that registry never had
        ("debian:bookworm", "sha256:b"),
        ("docker.io/library/debian:bookworm", "sha256:b"),
        ("127.0.0.1:5000/team/x", "sha256:c"),
        ("127.0.0.1:5000/team/x:7", "sha256:c"),
    ],
)
def test_only_the_repository_that_was_asked_for(reference: str, digest: str) -> None:
    assert foundation.digest_of(reference, IMAGE) == digest


def test_an_image_that_was_never_in_a_registry() -> None:
    assert foundation.digest_of("company/base:1", {"RepoDigests": None}) == ""
