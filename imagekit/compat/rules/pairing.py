"""torchvision and torchaudio are compiled against one torch and no other."""

from __future__ import annotations

from collections.abc import Iterator

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


RULE = Rule(NAME, "torchvision and torchaudio are compiled against exactly one torch.", judge)
