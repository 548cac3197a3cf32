from __future__ import annotations

import json

import click


@click.command("evidence")
@click.argument("image_or_profile")
@click.option("--from", "folder", metavar="DIR", help="A folder of reports.  [default: this machine's]")
@click.option("--html", metavar="FILE", help="Write the newest report as one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="All reports as JSON on stdout.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, folder: str | None, html: str | None, as_json: bool, overlay: tuple[str, ...],
    site: str | None,
) -> None:  # fmt: skip
    """List what is on record of an image: which checks, on which machine, when. An id needs no engine."""
    from imagekit.cli.output import write
    from imagekit.proof import evidence, page

    name = image_or_profile
    found = evidence.find(_image(name, site, overlay), folder)
    write(html, page.of_test(found[0].report) if html else "")
    print(json.dumps([kept.raw for kept in found], indent=1) if as_json else "\n".join(evidence.lines(name, found)))


def _image(name: str, site: str | None, overlay: tuple[str, ...]) -> str:
    if name.startswith("sha256:"):
        return name
    from imagekit import target
    from imagekit.engines.docker_api import Engine

    return Engine().known_as(target.find(name, site, overlay).reference)
