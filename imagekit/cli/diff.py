from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imagekit.difference import Side


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON on stdout.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(before: str, after: str, as_json: bool, site: str | None) -> None:
    """What differs between two images: packages, what they run on, how they behave, what has to be pulled.

    Each is an image of an engine, a profile, registry:HOST/REPOSITORY:TAG, or oci:DIR[:TAG]. How they behave is known
    of images with a proof on record.
    """
    from imagekit import difference

    found = difference.between(_side(before, site), _side(after, site))
    print(json.dumps(difference.as_json(found), indent=1) if as_json else "\n".join(difference.lines(found)))


def _side(name: str, site: str | None) -> Side:
    from imagekit import difference, pipeline, remote
    from imagekit.proof import attached, evidence

    if remote.is_remote(name):
        there = remote.find(name, pipeline.the_site(site))
        proofs = evidence.find(str(there.image(name)["Id"]))
        if not proofs and name.startswith(remote.REGISTRY):
            proofs = attached.all_of(there.there, there.name)  # type: ignore[arg-type]
        return difference.side(there, name, [kept.report for kept in proofs])
    from imagekit import target
    from imagekit.engines.docker_api import Engine

    engine, reference = Engine(), target.find(name, site).reference
    proofs = evidence.find(engine.known_as(reference))
    return difference.side(engine, reference, [kept.report for kept in proofs])
