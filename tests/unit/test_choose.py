"""Every stack that the facts say exists can be had by wishing for it; every other is refused with one that can."""

from __future__ import annotations

import re
from itertools import product

import pytest

from imagekit.compat import facts
from imagekit.compat.choose import everything
from imagekit.compat.resolve import resolve
from imagekit.errors import ImpossibleWish, UsageError
from imagekit.profile import Wishes, load
from imagekit.profile import wish as parsed
from imagekit.resolution import Resolution

FACTS = facts.load()
VERSIONS = [release.version for release in FACTS.releases]
CUDAS = sorted({variant.cuda for release in FACTS.releases for variant in release.variants}, key=float)
BUILT = {(release.version, variant.cuda) for release in FACTS.releases for variant in release.variants}
POSSIBLE = {(choice.release.version, choice.variant.cuda) for choice in everything(FACTS)}
TINY = load("tiny")


def wish(profile: str = "tiny", **wishes: str) -> Resolution:
    return resolve(load(profile), parsed(**wishes))


def refusal(profile: str = "tiny", **wishes: str) -> ImpossibleWish:
    with pytest.raises(ImpossibleWish) as error:
        wish(profile, **wishes)
    assert error.value.exit_code == 3
    return error.value


def offers(error: ImpossibleWish) -> list[dict[str, str]]:
    """What works, as the options of the command line that the refusal shows."""
    lines = [line for line in error.details if re.match(r"\s+\d  --", line)]
    return [dict(re.findall(r"--(torch|cuda|python|base) (\S+)", line)) for line in lines]


@pytest.mark.parametrize(("torch", "cuda"), sorted(POSSIBLE))
def test_every_build_in_the_facts_is_chosen_when_it_is_wished(torch: str, cuda: str) -> None:
    r = resolve(TINY, Wishes(torch=torch, cuda=cuda))
    assert (r.torch, r.cuda) == (torch, cuda)
    variant = FACTS.release(torch).variant(r.variant)  # type: ignore[union-attr]
    assert variant is not None and variant.cuda == cuda
    assert r.torch_index == ("pypi" if variant.pypi_default else "pytorch")
    system = FACTS.suite(r.base.name)
    assert system is not None and system.python == r.python and r.python in FACTS.release(torch).pythons  # type: ignore[union-attr]


def test_all_pairs_that_are_not_in_the_facts_are_refused_with_one_that_works() -> None:
    missing = [pair for pair in product(VERSIONS, CUDAS) if pair not in POSSIBLE]
    assert len(missing) > 50
    for torch, cuda in missing:
        error = refusal(torch=torch, cuda=cuda)
        assert f"torch {torch}" in error.message and f"CUDA {cuda}" in error.message
        found = offers(error)
        assert found, (torch, cuda)
        for offer in found:
            r = resolve(TINY, Wishes(**offer))
            assert (r.torch, r.cuda) == (offer["torch"], offer["cuda"])


@pytest.mark.parametrize("wishes", [
    {"torch": "2.4.1", "python": "3.13"}, {"torch": "2.4.1", "base": "distro:trixie"}, {"python": "3.14"}, {"torch": "9.9"},
    {"cuda": "9.9"}, {"python": "3.12", "base": "distro:bookworm"}, {"torch": "1.13.1", "python": "3.12"},
    {"torch": "2.9", "cuda": "11.8", "python": "3.9", "base": "distro:noble"},
])  # fmt: skip
def test_every_refusal_offers_something_that_works(wishes: dict[str, str]) -> None:
    found = offers(refusal(**wishes))
    assert found
    for offer in found:
        r = wish(**offer)
        assert offer.get("torch", r.torch) == r.torch and offer.get("python", r.python) == r.python


def test_a_minor_means_its_newest_patch() -> None:
    newest = [version for version in VERSIONS if version.startswith("2.4.")][-1]
    assert wish(torch="2.4").torch == newest
    assert wish(torch="v2.4").torch == newest


def test_a_torch_with_its_build_is_two_wishes() -> None:
    r = wish(torch="2.4.1+cu118")
    assert (r.torch, r.cuda, r.variant, r.torch_index) == ("2.4.1", "11.8", "cu118", "pytorch")
    with pytest.raises(UsageError, match=r"CUDA 12\.1 is asked"):
        wish(torch="2.4.1+cu118", cuda="12.1")


def test_without_wishes_the_preferences_hold() -> None:
    r = wish()
    assert (r.torch, r.cuda, r.python, r.base.name, r.differs) == ("2.4.1", "12.1", "3.11", "bookworm", ())
    assert not [note for note in r.notes if "moves" in note]


def test_a_newer_torch_moves_cuda_and_says_so() -> None:
    r = wish(torch="2.9")
    assert (r.torch, r.cuda) == ("2.9.1", "12.8")
    assert "cuda moves from 12.1 to 12.8: torch 2.9 asks for it" in r.notes
    assert (r.python, r.base.name) == ("3.11", "bookworm")


def test_a_newer_python_moves_the_base_and_says_so() -> None:
    r = wish(python="3.13")
    assert (r.python, r.base.name) == ("3.13", "trixie")
    assert "suite moves from bookworm to trixie: python 3.13 asks for it" in r.notes
    assert "3.13" in FACTS.release(r.torch).pythons  # type: ignore[union-attr]
    assert r.differs[0] == "py313"


def test_another_base_moves_python_and_says_so() -> None:
    r = wish(base="distro:jammy")
    assert r.python == "3.10" and any(note.startswith("python moves from 3.11 to 3.10") for note in r.notes)
    assert r.torch == "2.4.1" and "jammy" in r.differs


def test_torch_29_for_cuda_118() -> None:
    error = refusal("video-llm", torch="2.9", cuda="11.8")
    text = str(error)
    assert error.message == "there is no torch 2.9 for CUDA 11.8"
    assert "cu118 wheels exist from torch" in text and "to 2.7.1" in text and "torch 2.9.1 is built as" in text
    assert {"torch": "2.7.1", "cuda": "11.8"} in offers(error)


def test_a_wish_is_never_given_up() -> None:
    for torch, python in product(["2.1.2", "2.4", "2.9"], ["3.10", "3.11", "3.12", "3.13"]):
        try:
            r = wish(torch=torch, python=python)
        except ImpossibleWish:
            continue
        assert r.torch.startswith(torch) and r.python == python


def test_an_unknown_suite_is_answered_with_the_one_that_is_meant() -> None:
    with pytest.raises(UsageError, match="did you mean bookworm?"):
        wish(base="distro:bookwurm")


@pytest.mark.parametrize("base", ["bookworm", "image:", "tar:x", "image:acme/base:7"])
def test_what_is_not_a_base(base: str) -> None:
    with pytest.raises(UsageError):
        wish(base=base)


@pytest.mark.parametrize(("base", "suite"), [
    ("image:debian:bookworm-slim", "3.11"), ("image:ubuntu:22.04", "3.10"), ("image:debian:12", "3.11"),
    ("image:harbor.example:5000/library/debian:bookworm-slim", "3.11"),
])  # fmt: skip
def test_an_image_as_base_is_known_by_its_name(base: str, suite: str) -> None:
    r = wish(base=base)
    assert (r.python, r.base.kind, r.base.name) == (suite, "image", base.removeprefix("image:"))


def test_a_digest_of_a_base_is_kept() -> None:
    digest = "sha256:" + "a" * 64
    r = wish(base=f"image:debian:bookworm-slim@{digest}")
    assert (r.base.name, r.base.digest) == ("debian:bookworm-slim", digest)


def test_torchvision_follows_torch_and_a_pin_in_the_way_is_named() -> None:
    assert "torchvision==0.24.1" in [want.requirement for want in wish("video-llm", torch="2.9.1").wants]
    error = refusal("tiny", torch="2.9.1", packages=("torchvision==0.19.1",))  # type: ignore[arg-type]
    assert "--with: torchvision==0.19.1 is in the way" in str(error)


def test_what_is_not_a_package() -> None:
    for line in ("six @ https://example.org/six.whl", "not a package!"):
        with pytest.raises(UsageError):
            wish(packages=(line,))  # type: ignore[arg-type]


def test_resolving_twice_gives_the_same() -> None:
    assert wish("video-llm") == wish("video-llm")


def test_what_a_fact_refuses_has_ways_out() -> None:
    with pytest.raises(ImpossibleWish, match="the facts refuse this") as error:
        resolve(load("base"), Wishes(torch="2.4.1", packages=("deepspeed==0.9.5",)))
    text = str(error.value)
    assert "[deepspeed-torch-2.4]" in text
    ways = [line.split(maxsplit=1)[1] for line in error.value.details if re.match(r"  \d  ", line)]
    assert ways[0].startswith("--torch 2.3.1")
    assert any(way.startswith("--torch 2.4.1; deepspeed>=0.14.4") for way in ways)
    assert resolve(load("base"), Wishes(torch="2.3.1", packages=("deepspeed==0.9.5",))).torch == "2.3.1"


def test_a_way_out_by_another_build_names_its_cuda() -> None:
    asked = ("bitsandbytes==0.40.0",)
    with pytest.raises(ImpossibleWish, match="the facts refuse this") as error:
        resolve(load("base"), Wishes(torch="2.9", packages=asked))
    assert any("--torch 2.7.1 --cuda 11.8" in line for line in error.value.details)
    assert resolve(load("base"), Wishes(torch="2.7.1", cuda="11.8", packages=asked)).variant == "cu118"
    assert any("another bitsandbytes" in line for line in error.value.details), "its neighbours are refused, too"


def test_one_package_is_wished_once() -> None:
    with pytest.raises(UsageError, match="one package twice") as error:
        resolve(load("base"), Wishes(packages=("numpy==1.26.0", "six", "NumPy==2.0.0", "six")))
    assert list(error.value.details) == ["numpy==1.26.0 and NumPy==2.0.0"]
