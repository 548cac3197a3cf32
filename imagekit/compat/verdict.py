"""An answer in words, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imagekit.compat.choose import Choice
from imagekit.compat.facts import Facts
from imagekit.compat.question import Answer
from imagekit.compat.refuse import headline, options, price, said

MARK = {"yes": "", "no": "NO ", "note": "", "unknown": "?  "}


def lines(answer: Answer, facts: Facts) -> Iterator[str]:
    """yes or no in the first word; a line for each thing a rule says, with its fact; ways out, nearest first."""
    asked = answer.question.asked
    if answer.choice is None:
        yield f"no   {headline(asked)}"
        yield ""
        yield from (
            f"     facts    {line}" if n == 0 else f"              {line}" for n, line in enumerate(said(facts, asked))
        )
    else:
        yield f"{'yes' if answer.possible else 'no'}{'' if answer.possible else ' '}  {stack(answer.choice, answer)}"
        yield ""
        for finding in sorted(answer.findings, key=lambda finding: finding.verdict != "no"):
            fact = f"   [{finding.fact}]" if finding.fact else ""
            yield f"     {finding.rule:<10} {MARK[finding.verdict]}{finding.text}{fact}"
    if answer.offers:
        yield ""
        yield "what works, nearest first"
        for number, offer in enumerate(answer.offers, 1):
            yield f"  {number}  {options(offer.choice, asked, offer.changes, '--os ')}"
            yield f"     {price(facts, offer.choice)}"
    if answer.choice and answer.possible and not (answer.question.versions or answer.question.base):
        choice = answer.choice
        more = f" --base distro:{choice.system.suite}" if asked.python or asked.suite else ""
        yield ""
        yield f"     build it: imagekit build base --torch {choice.release.version} --cuda {choice.variant.cuda}{more}"


def stack(choice: Choice, answer: Answer) -> str:
    asked, system = answer.question.asked, choice.system
    name = f"torch {choice.release.version} + CUDA {choice.variant.cuda} ({choice.variant.name})"
    if asked.python or asked.suite:
        name += f", Python {system.python}, {system.id.capitalize()} {system.version}"
    return name


def as_json(answer: Answer, facts: Facts) -> dict[str, Any]:
    choice = answer.choice
    return {
        "possible": answer.possible,
        "stack": None if choice is None else _versions(choice),
        "findings": [
            {"rule": f.rule, "verdict": f.verdict, "text": f.text, "fact": f.fact, "tip": f.tip}
            for f in answer.findings
        ],
        "offers": [
            {**_versions(offer.choice), "changes": list(offer.changes), "price": price(facts, offer.choice)}
            for offer in answer.offers
        ],
    }


def _versions(choice: Choice) -> dict[str, str]:
    return {
        "torch": choice.release.version, "cuda": choice.variant.cuda, "variant": choice.variant.name,
        "python": choice.system.python, "os": choice.system.suite,
    }  # fmt: skip
