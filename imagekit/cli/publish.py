from __future__ import annotations

import click


@click.command("publish")
@click.argument("image_or_profile")
@click.option("--to", metavar="HOST/REPOSITORY", default="", help="Default: registry.push of the site.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(image_or_profile: str, to: str, overlay: tuple[str, ...], site: str | None, as_json: bool) -> None:
    """Push an image that was proven, with its proof, and give it its names there. Prints HOST/REPOSITORY@DIGEST.

    Its immutable name comes first and is never written again. A moving name that leads to an image of another torch,
    CUDA, profile, axis or overlay stays where it is. An image is one of an engine, oci:DIR[:TAG] or registry:REFERENCE.
    """
    from imagekit import outgoing, pipeline, remote, target
    from imagekit.cli.output import Lines, names

    name = image_or_profile
    image = name if remote.is_remote(name) else target.find(name, site, overlay).reference
    done = outgoing.send(image, to.removeprefix(remote.REGISTRY), pipeline.the_site(site), Lines())
    names(done, as_json)
