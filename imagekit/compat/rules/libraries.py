"""What libraries need of torch, Python, numpy and each other, also where their own metadata does not say it."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit.compat.review import review

from .rule import Finding, Rule, Stack

NAME = "libraries"


def judge(stack: Stack) -> Iterator[Finding]:
    release, variant, system = stack.choice.release, stack.choice.variant, stack.choice.system
    versions = {**stack.versions, "torch": release.version}
    about = {"python": system.python, "cuda": variant.cuda, "glibc": system.glibc, "ffmpeg": system.ffmpeg or "0"}
    for row in stack.facts.constraints:
        if row.package not in versions or (row.needs_apt and not row.needs):
            continue  # which distribution packages there are was not said
        view = review((row,), versions, about, (), tuple(versions))
        if view.refused:
            yield Finding(NAME, "no", row.reason, row.id, " and ".join(row.needs))
        elif view.warnings:
            yield Finding(NAME, "note", row.reason, row.id)
        elif view.wants:
            yield Finding(
                NAME, "note", f"{row.reason} It needs {' and '.join(w.requirement for w in view.wants)}.", row.id
            )


RULE = Rule(NAME, "Libraries go with this torch, Python and numpy, and with each other.", judge)
