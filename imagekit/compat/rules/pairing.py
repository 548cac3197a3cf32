"""torchvision and torchaudio are compiled against one torch and no other."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.version import Version

from .rule import Finding, Rule, Stack

NAME = "pairing"


def judge(stack: Stack) -> Iterator[Finding]:
    release = stack.choice.release
    fact = f"torch/{release.version}"
    for name, wanted in (("torchvision", release.torchvision), ("torchaudio", release.torchaudio)):
        given = stack.versions.get(name)
        if given is None:
            continue
        if Version(given).public == wanted:
            yield Finding(NAME, "yes", f"{name} {wanted} goes with torch {release.version}", fact)
        else:
            theirs = [row.version for row in stack.facts.releases if getattr(row, name) == Version(given).public]
            for_whom = f"; {name} {given} goes with torch {', '.join(theirs)}" if theirs else ""
            text = f"torch {release.version} goes with {name} {wanted}{for_whom}"
            yield Finding(NAME, "no", text, fact, f"{name}=={wanted}")
    yield from _own(stack)


def _own(stack: Stack) -> Iterator[Finding]:
    """Libraries that torch's metadata requires in one version."""
    release, variant = stack.choice.release, stack.choice.variant
    major, fact = variant.cuda.partition(".")[0], f"torch/{release.version}/{variant.name}"
    wanted = {f"nvidia-cudnn-cu{major}": variant.cudnn, f"nvidia-nccl-cu{major}": variant.nccl}
    for name, version in wanted.items():
        given = stack.versions.get(name)
        if given and version and Version(given) != Version(version):
            text = f"torch {release.version}+{variant.name} requires {name} {version}"
            yield Finding(NAME, "no", text, fact, f"{name}=={version}")
    triton = Requirement(release.triton) if release.triton else None
    given = stack.versions.get("triton")
    if triton and given and not triton.specifier.contains(given, prereleases=True):
        text = f"torch {release.version} requires {triton.name}{triton.specifier}"
        yield Finding(NAME, "no", text, fact, f"{triton.name}{triton.specifier}")


RULE = Rule(NAME, "torchvision and torchaudio are compiled against exactly one torch.", judge)
