from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imagekit.oci.registry import Repository

REGISTRY = "registry:"


@click.command("evidence")
@click.argument("image_or_profile")
@click.option("--from", "folder", metavar="DIR", help="A folder of reports.  [default: this machine's]")
@click.option("--to", metavar="registry:REF", help="Attach the reports to the image in a registry.")
@click.option("--html", metavar="FILE", help="Write the newest report as one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="All reports as JSON on stdout.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, folder: str | None, to: str | None, html: str | None, as_json: bool,
    overlay: tuple[str, ...], site: str | None,
) -> None:  # fmt: skip
    """List what is on record of an image: which checks, on which machine, when. An id needs no engine.

    `registry:HOST/REPOSITORY:TAG` asks a registry for the reports that were attached to its image with --to.
    """
    from imagekit.cli.output import Lines, write
    from imagekit.errors import UsageError
    from imagekit.proof import attached, evidence, page

    name = image_or_profile
    if name.startswith(REGISTRY):
        if folder or to:
            raise UsageError("what is in a registry is only listed", hint="without --from and --to")
        found = attached.all_of(*_there(name, site))
    else:
        found = evidence.find(_image(name, site, overlay), folder)
    if (to or html) and not found:
        raise UsageError(f"no proof of {name} is on record", hint=f"imagekit test {name}")
    if to:
        if not to.startswith(REGISTRY):
            raise UsageError(f"--to {to!r} is no registry", hint="--to registry:HOST/REPOSITORY:TAG")
        new = attached.send(*_there(to, site), found)
        Lines()("evidence", f"{new} of {len(found)} reports are new at {to.removeprefix(REGISTRY)}")
    write(html, page.of_test(found[0].report) if html else "")
    print(json.dumps([kept.raw for kept in found], indent=1) if as_json else "\n".join(evidence.lines(name, found)))


def _there(text: str, site: str | None) -> tuple[Repository, str]:
    """A repository, and which image of it."""
    from imagekit import pipeline, remote
    from imagekit.errors import UsageError
    from imagekit.oci import reference

    name = reference.parse(text.removeprefix(REGISTRY))
    if not name.tag and not name.digest:
        raise UsageError(f"{text} names no image", hint=f"{text}:TAG")
    return remote.repository(name, pipeline.the_site(site)), name.digest or name.tag


def _image(name: str, site: str | None, overlay: tuple[str, ...]) -> str:
    """The id of an image, by which its reports are kept here."""
    if name.startswith("sha256:"):
        return name
    from imagekit import pipeline, remote

    if remote.is_remote(name):  # in an OCI layout
        return str(remote.find(name, pipeline.the_site(site)).image(name)["Id"])
    from imagekit import target
    from imagekit.engines.docker_api import Engine

    return Engine().known_as(target.find(name, site, overlay).reference)
